//! The cloud: calls in, answers out, on a runtime of its own.
//!
//! Whoever makes calls may do so from runtimes that come and go, one for each command or each look at the world; connections to AWS live on
//! the runtime that opened them. So they have one that lives as long as the cloud does.

use std::sync::Arc;

use cloudtik_model::Value;
use cloudtik_provider_api::{Answer, BoxFuture, Call, CallError, Check, Checked, Cloud, Connection, DialTarget, ErrorClass, Verb};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::aws::Aws;
use crate::kinds::{announce, dispatch};
use crate::looks::Looks;
use crate::{check, dial, error, facts, fence, status, wait};

/// Threads that wait for AWS. They hardly compute.
const THREADS: usize = 2;

/// Requests of the AWS SDK are many layers of futures deep, and a build without optimization keeps all of them on the stack.
const STACK_BYTES: usize = 16 << 20;

/// Opens a client for a configuration. It connects with the first call.
///
/// # Errors
/// There can be no runtime on this machine.
pub fn connect(config: &Value) -> Result<Arc<dyn Cloud>, CallError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("aws")
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| CallError::new(ErrorClass::Permanent, "runtime", format!("no runtime for the client of AWS: {error}")))?;
    let shared = Arc::new(Shared { config: config.clone(), aws: OnceCell::new(), looks: Arc::default() });
    Ok(Arc::new(AwsCloud { shared, runtime: Some(runtime) }))
}

struct AwsCloud {
    shared: Arc<Shared>,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

struct Shared {
    config: Value,
    aws: OnceCell<Aws>,
    looks: Arc<Looks>,
}

impl Drop for AwsCloud {
    fn drop(&mut self) {
        // Dropping it where tasks run would panic; what is under way goes on or not, as after a kill.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl AwsCloud {
    /// Does work on the cloud's own runtime.
    fn on_own_runtime<T, F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> BoxFuture<'_, Result<T, CallError>>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let Some(runtime) = &self.runtime else {
            return Box::pin(std::future::ready(Err(error::refused("closed", "the client of AWS is closed"))));
        };
        let task = runtime.spawn(work(Arc::clone(&self.shared)));
        Box::pin(async move {
            task.await.map_err(|error| CallError::new(ErrorClass::Unknown, "task", format!("the call did not come to an end: {error}")))
        })
    }
}

impl Cloud for AwsCloud {
    fn announce(&self, calls: &[Call]) {
        announce(&self.shared.looks, calls);
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
        let answered = self.on_own_runtime(|shared| async move { shared.answer(&call).await });
        Box::pin(async move { answered.await.unwrap_or_else(Answer::Failed) })
    }

    fn check(&self, check: Check) -> BoxFuture<'_, Checked> {
        let unanswered = |error: CallError| Checked { unanswered: vec![error.message], ..Checked::default() };
        let checked = self.on_own_runtime(|shared| async move {
            match shared.aws().await {
                Ok(aws) => check::check(aws, &check).await,
                Err(error) => unanswered(error),
            }
        });
        Box::pin(async move { checked.await.unwrap_or_else(unanswered) })
    }

    fn dial(&self, target: DialTarget) -> BoxFuture<'_, Result<Connection, CallError>> {
        let dialled = self.on_own_runtime(|shared| async move { dial::dial(shared.aws().await?, &target).await });
        Box::pin(async move { dialled.await? })
    }
}

impl Shared {
    async fn aws(&self) -> Result<&Aws, CallError> {
        self.aws.get_or_try_init(|| Aws::open(&self.config, Arc::clone(&self.looks))).await
    }

    async fn answer(&self, call: &Call) -> Answer {
        match self.aws().await {
            Ok(aws) => self.answer_of(aws, call).await,
            Err(error) => Answer::Failed(error),
        }
    }

    async fn answer_of(&self, aws: &Aws, call: &Call) -> Answer {
        match &call.verb {
            Verb::Facts(questions) => facts::answer(aws, questions).await.map_or_else(Answer::Failed, Answer::Facts),
            Verb::Fence { cluster, epoch, ends } => done(fence::raise(aws, cluster, *epoch, *ends).await),
            Verb::PublishStatus { id, status } => done(status::publish(aws, id, status).await),
            verb => wait::within(call.limit, matches!(verb, Verb::Delete { .. }), dispatch(aws, call)).await,
        }
    }
}

fn done(result: Result<(), CallError>) -> Answer {
    result.map_or_else(Answer::Failed, |()| Answer::Done)
}
