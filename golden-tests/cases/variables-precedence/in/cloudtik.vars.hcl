b = "cloudtik.vars"
c = "cloudtik.vars"
d = "cloudtik.vars"
not_there = 1
