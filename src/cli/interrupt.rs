//! Ctrl-C: once asks the run to end, twice ends this process at once.

use cloudtik::Interrupt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;

/// Watches for Ctrl-C and for the signal that asks processes to end, from now to the end of this process. Commands that change nothing
/// do not: they end as every program does.
pub(crate) fn watch(interrupt: &Interrupt, say: impl Fn(&str) + Send + 'static) -> std::io::Result<()> {
    let interrupt = interrupt.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (ctrl_c, terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(take(ctrl_c, terminate, &interrupt, &say)))?;
    Ok(())
}

async fn take(mut ctrl_c: Signal, mut terminate: Signal, interrupt: &Interrupt, say: &(impl Fn(&str) + Send)) {
    next(&mut ctrl_c, &mut terminate).await;
    interrupt.request();
    say("Interrupted: nothing new is begun; what runs is brought to its end and written down.\n\
         Press Ctrl-C once more to stop at once; the next run finds out then what was done.");
    next(&mut ctrl_c, &mut terminate).await;
    // Not through `main`: the run is not waited for. What it did stands in the journal.
    std::process::exit(i32::from(Exit::Interrupted.code()));
}

async fn next(ctrl_c: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = ctrl_c.recv() => {}
        _ = terminate.recv() => {}
    }
}
