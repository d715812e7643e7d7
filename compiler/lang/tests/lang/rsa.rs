//! `rsadecrypt`, with a key of 512 bits that was made for this test and opens nothing else, in each of its forms.

use cloudtik_model::Value;

use crate::eval;

const CIPHER: &str = "OF8A8FlupC/w492JpKxiLwZvhvluLJLoYjJTUJ4wm77koUN8AdxxiL5+NG6jNiD2w5kMTknLG/JrfR8oT633QA==";

const PKCS1: &str = "\
-----BEGIN RSA PRIVATE KEY-----
MIIBOgIBAAJBAJ2dknHbdy7Z6y+YqojZObybX6w30uyHI4m7rvcmPin9DuAtLjuP
iho40xQOBd/f7abOMGy2oVCAaHBdCS2u3GMCAwEAAQJAei7Qe5raBWPBQaBjcrqS
W3dG70ZHKDyKfBcWR1lKD1l5XRsvdqE0YDmNVGFxfGKPBT4db1JOOKtGfj+6O1Hx
wQIhAMtjqwPFaHQsbiF3LmvYNDB9+5h5yWXzwNd9S9s5y467AiEAxmLJagEA1bR6
liFsvnZtYStBelACBmXUwRgfYxF50nkCIQC4bv/0In4O4v9XP4EL8HmbA5Mz+DQm
THyxrAAuouEw4wIgFVT0AXEALPqOH+ySK9zCICuti8Bkp1l1yhmU7msnpUkCIGRN
CnplhhfKsujgMG8zVch2PNm5PezqmfrxGAphYBnJ
-----END RSA PRIVATE KEY-----
";

const PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----
MIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEAnZ2Scdt3LtnrL5iq
iNk5vJtfrDfS7Icjibuu9yY+Kf0O4C0uO4+KGjjTFA4F39/tps4wbLahUIBocF0J
La7cYwIDAQABAkB6LtB7mtoFY8FBoGNyupJbd0bvRkcoPIp8FxZHWUoPWXldGy92
oTRgOY1UYXF8Yo8FPh1vUk44q0Z+P7o7UfHBAiEAy2OrA8VodCxuIXcua9g0MH37
mHnJZfPA131L2znLjrsCIQDGYslqAQDVtHqWIWy+dm1hK0F6UAIGZdTBGB9jEXnS
eQIhALhu//Qifg7i/1c/gQvweZsDkzP4NCZMfLGsAC6i4TDjAiAVVPQBcQAs+o4f
7JIr3MIgK62LwGSnWXXKGZTuayelSQIgZE0KemWGF8qy6OAwbzNVyHY82bk97OqZ
+vEYCmFgGck=
-----END PRIVATE KEY-----
";

const OPENSSH: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAVwAAAAdzc2gtcn
NhAAAAAwEAAQAAAEEAnZ2Scdt3LtnrL5iqiNk5vJtfrDfS7Icjibuu9yY+Kf0O4C0uO4+K
GjjTFA4F39/tps4wbLahUIBocF0JLa7cYwAAARhhYmNkYWJjZAAAAAdzc2gtcnNhAAAAQQ
CdnZJx23cu2esvmKqI2Tm8m1+sN9LshyOJu673Jj4p/Q7gLS47j4oaONMUDgXf3+2mzjBs
tqFQgGhwXQktrtxjAAAAAwEAAQAAAEB6LtB7mtoFY8FBoGNyupJbd0bvRkcoPIp8FxZHWU
oPWXldGy92oTRgOY1UYXF8Yo8FPh1vUk44q0Z+P7o7UfHBAAAAIGRNCnplhhfKsujgMG8z
Vch2PNm5PezqmfrxGAphYBnJAAAAIQDLY6sDxWh0LG4hdy5r2DQwffuYecll88DXfUvbOc
uOuwAAACEAxmLJagEA1bR6liFsvnZtYStBelACBmXUwRgfYxF50nkAAAAAAQID
-----END OPENSSH PRIVATE KEY-----
";

fn decrypted(key: &str) -> String {
    crate::show(&eval(&format!("rsadecrypt({CIPHER:?}, {key:?})")))
}

#[test]
fn it_reads_each_form_of_a_key() {
    for key in [PKCS1, PKCS8, OPENSSH] {
        assert_eq!(eval(&format!("rsadecrypt({CIPHER:?}, {key:?})")).ok(), Some(Value::from("secret word")), "{}", decrypted(key));
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (text, said) in [
        (format!("rsadecrypt(\"!\", {PKCS1:?})"), "it is not base 64"),
        (format!("rsadecrypt({CIPHER:?}, \"key\")"), "it is no private key as PEM"),
        (format!("rsadecrypt({CIPHER:?}, {:?})", PKCS1.replace("RSA PRIVATE", "EC PRIVATE")), "it is no RSA private key"),
        (format!("rsadecrypt({CIPHER:?}, {:?})", PKCS1.replace("MII", "MIA")), "it is no RSA private key"),
        (format!("rsadecrypt(\"AAAA\", {PKCS1:?})"), "it was not encrypted for this key"),
    ] {
        let shown = crate::show(&eval(&text));
        assert!(shown.contains(said), "{shown}");
    }
}
