//! Ctrl-C: once asks the run to end, twice ends this process at once.

use std::sync::Arc;

use cloudtik::Interrupt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use super::progress::View;

/// Watches for Ctrl-C and for the signal that asks processes to end, from now to the end of this process. Commands that change nothing
/// do not: they end as every program does.
pub(crate) fn watch(interrupt: &Interrupt, view: &Arc<View>) -> std::io::Result<()> {
    let (interrupt, view) = (interrupt.clone(), Arc::clone(view));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (ctrl_c, terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(take(ctrl_c, terminate, &interrupt, &view)))?;
    Ok(())
}

async fn take(mut ctrl_c: Signal, mut terminate: Signal, interrupt: &Interrupt, view: &View) {
    next(&mut ctrl_c, &mut terminate).await;
    interrupt.request();
    view.say(
        "Interrupted: nothing new is begun; what runs is brought to its end and written down.\n\
         Press Ctrl-C once more to stop at once; the next run finds out then what was done.",
    );
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
