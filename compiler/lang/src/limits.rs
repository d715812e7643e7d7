//! What one evaluation may cost. An expression is short, but what it makes need not be: `range(1000000000)` is seventeen characters.

/// The longest string that is made: the same as the largest file that is read, so that every file can become a string.
pub const MAX_STRING_BYTES: usize = 16 * 1024 * 1024;

/// The most elements that a function or a `for` makes: ten times the blocks of the largest spec that is measured.
pub const MAX_ELEMENTS: usize = 1_000_000;

/// The most steps of one evaluation: ten for each element of the largest collection; some seconds and some hundred MiB at worst.
pub const MAX_WORK: u64 = 10_000_000;

/// The most steps that are spent on a branch that is not taken, for the sake of its type.
pub const MAX_SPECULATIVE_WORK: u64 = 100_000;

/// How many bytes of text count as one step: copying them costs about as much as evaluating a small expression.
pub const BYTES_PER_STEP: usize = 64;

/// How deeply expressions are nested while they are evaluated, templates that they read included: the deepest expression of the parser
/// twice. It keeps the stack of a thread whole.
pub const MAX_EVALUATION_DEPTH: u16 = 260;

/// How deeply templates may stand in templates that `templatefile` reads or `templatestring` is given.
pub const MAX_TEMPLATE_DEPTH: u16 = 8;

/// How deeply a residual expression may be nested, counted in levels of its JSON: readers stop at 128, and what holds it has some.
pub const MAX_RESIDUAL_LEVELS: u32 = 104;

/// How many expressions a residue may hold in all, shared ones counted each time: they are written out to disk one by one.
pub const MAX_RESIDUAL_NODES: u32 = 1_000_000;

/// The size of a compiled regular expression: what RE2 would refuse as too large.
pub const MAX_REGEX_BYTES: usize = 1024 * 1024;

/// The highest cost of `bcrypt`: one call takes some seconds, and each step more doubles it.
pub const MAX_BCRYPT_COST: u32 = 16;

/// How many errors of the elements of one `for` are reported before it ends.
pub const MAX_ELEMENT_ERRORS: usize = 5;

/// How many names a message lists.
pub const MAX_NAMES_LISTED: usize = 12;
