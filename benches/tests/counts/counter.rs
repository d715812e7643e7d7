//! What the thread of a test allocated, how often it waited for the disk, and how many threads it started.
//!
//! The functions of the C library are replaced for this program and count before they do what they do, so nothing goes past them. Counts
//! are of a thread: tests that run beside each other do not disturb each other. What a plan or an apply of values does, it does on the
//! thread that asks for it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::{c_int, c_void};

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Allocations; a block that grows is one more.
    pub(crate) allocations: u64,
    /// Bytes that were asked for.
    pub(crate) bytes: u64,
    /// Bytes that are held and were not before; less than none where something older was given back.
    pub(crate) held: i64,
    /// The most that was held at once.
    pub(crate) held_max: i64,
    /// `fsync` and `fdatasync`.
    pub(crate) fsyncs: u64,
    /// Threads.
    pub(crate) threads: u64,
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { allocations: 0, bytes: 0, held: 0, held_max: 0, fsyncs: 0, threads: 0 }) };
}

fn count(change: impl FnOnce(&mut Counts)) {
    // While a thread ends there is nothing to count in any more.
    let _ = COUNTS.try_with(|cell| {
        let mut counts = cell.get();
        change(&mut counts);
        cell.set(counts);
    });
}

/// What `work` did on this thread, and what it gave.
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> (Counts, T) {
    COUNTS.with(|cell| cell.set(Counts::default()));
    let result = work();
    (COUNTS.with(Cell::get), result)
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocated(bytes: usize) {
    count(|counts| {
        counts.allocations += 1;
        counts.bytes += bytes as u64;
        counts.held += bytes as i64;
        counts.held_max = counts.held_max.max(counts.held);
    });
}

fn given_back(bytes: usize) {
    count(|counts| counts.held -= bytes as i64);
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every method is the system allocator's with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size());
        // SAFETY: the caller keeps the promises of the method that is called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        allocated(size);
        given_back(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[expect(unsafe_code, reason = "it takes the place of a function of the C library, and asks the system for the same")]
#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    count(|counts| counts.fsyncs += 1);
    // SAFETY: a system call that takes one number.
    unsafe { libc::syscall(libc::SYS_fsync, file) as c_int }
}

#[expect(unsafe_code, reason = "it takes the place of a function of the C library, and asks the system for the same")]
#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    count(|counts| counts.fsyncs += 1);
    // SAFETY: a system call that takes one number.
    unsafe { libc::syscall(libc::SYS_fdatasync, file) as c_int }
}

type Main = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Main, *mut c_void) -> c_int;

#[expect(unsafe_code, reason = "it takes the place of a function of the C library, and calls that")]
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    main: Main,
    argument: *mut c_void,
) -> c_int {
    count(|counts| counts.threads += 1);
    // SAFETY: the next function of that name is the C library's, whose type this is.
    let create = unsafe {
        let found = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
        std::mem::transmute::<*mut c_void, Option<Create>>(found)
    };
    // SAFETY: the caller keeps its promises.
    create.map_or(libc::ENOSYS, |create| unsafe { create(thread, attributes, main, argument) })
}
