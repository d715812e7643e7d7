//! Clusters that are taken over: which one it is, and whether its head can be spoken to. That is all that nobody else knows of a cluster: what
//! was done on its head is seen there, and its workers are the business of the head.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_compiler::{Compiled, Import};
use cloudtik_executor::driver::login_key_file;
use cloudtik_model::{Address, Adopted, Diagnostic, Diagnostics, Node, ResourceSpec, State};
use cloudtik_provider_api::{Answer, CLUSTER_TAG, Call, Found, HEAD_ROLE, ROLE_TAG, STATUS_PREFIX, Verb};

use crate::Failure;
use crate::project::durable;
use crate::world::{World, refused, strange};

/// The tag with the name of a cluster that the predecessor writes, and cloudtik too.
const NAME_TAG: &str = "cloudtik-cluster-name";

/// A cluster whose head is looked for.
struct Wanted<'a> {
    cluster: &'a Address,
    head: &'a ResourceSpec,
    import: &'a Import,
    /// `<workspace>/<cluster>`
    mark: &'a str,
}

impl World<'_> {
    /// The clusters that are taken over, by their marks. One whose head is in the state already is no question any more.
    ///
    /// # Errors
    /// A provider does not answer; inside, what is wrong with the blocks.
    pub(crate) fn clusters(&self, compiled: &Compiled, state: &State) -> Result<Result<BTreeMap<String, Adopted>, Diagnostics>, Failure> {
        let wanted: Vec<Wanted<'_>> =
            compiled.imports.iter().filter_map(|(address, import)| wanted(compiled, state, address, import)).collect();
        let mut problems = Diagnostics::new();
        let mut clusters = BTreeMap::new();
        let searches = wanted.iter().map(|one| one.search(ROLE_TAG, HEAD_ROLE)).collect();
        for (one, (call, answer)) in wanted.iter().zip(self.all(searches)?) {
            let heads: Vec<Found> = found(&call, answer)?.into_iter().filter(|head| one.is_head(head)).collect();
            let adopted = match heads.as_slice() {
                [head] => self.adopted(one, head)?,
                [] => Err(self.nothing(one)?),
                several => Err(one.several(several)),
            };
            match adopted {
                Ok(adopted) => drop(clusters.insert(one.mark.to_owned(), adopted)),
                Err(problem) => problems.push(problem),
            }
        }
        Ok(if problems.has_errors() { Err(problems) } else { Ok(clusters) })
    }

    /// What is to be remembered of a cluster; an error where nobody here can speak to its head.
    fn adopted(&self, wanted: &Wanted<'_>, head: &Found) -> Result<Result<Adopted, Diagnostic>, Failure> {
        let status = |name: &str| head.tags.get(&format!("{STATUS_PREFIX}{name}")).filter(|text| !text.is_empty()).cloned();
        let Some(host_key) = wanted.import.host_key.as_deref().map(str::to_owned).or_else(|| status("host_key")) else {
            return Ok(Err(wanted.no_host_key(head)));
        };
        if !self.around.has_login_key(wanted.cluster).map_err(|error| durable(&error))? {
            return Ok(Err(wanted.no_login_key(head)));
        }
        let uid = head.tags.get(CLUSTER_TAG).cloned().unwrap_or_default();
        // Without workers nobody launches, in whatever epoch.
        let epoch = status("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
        Ok(Ok(Adopted { uid, epoch, head: head.object.id.clone(), host_key }))
    }

    /// The error of a cluster without a head. The predecessor's have one, which is none of ours.
    fn nothing(&self, wanted: &Wanted<'_>) -> Result<Diagnostic, Failure> {
        let name = wanted.head.attributes.get("tags").and_then(|tags| tags.get(NAME_TAG)).and_then(cloudtik_model::Value::as_str);
        let search = name.map(|name| wanted.search(NAME_TAG, name));
        for (call, answer) in self.all(search.into_iter().collect())? {
            let ids: Vec<String> =
                found(&call, answer)?.into_iter().filter(|node| !node.tags.contains_key(CLUSTER_TAG)).map(|node| node.object.id).collect();
            if !ids.is_empty() {
                return Ok(wanted.of_predecessor(&ids));
            }
        }
        let title = format!("provider `{}` has no head of a cluster `{}`", wanted.head.provider, wanted.mark);
        let help = "look up the names of the cluster and of its workspace, the region and the account; a cluster whose head is gone cannot be \
                    taken over: remove what is left of it, and take the `import` out to have it made";
        Ok(Diagnostic::error("import-nothing", title).at(wanted.import.span).of(wanted.cluster).help(help))
    }
}

/// What an import asks for, where it is the head of a cluster that the state does not know.
fn wanted<'a>(compiled: &'a Compiled, state: &State, address: &Address, import: &'a Import) -> Option<Wanted<'a>> {
    let cluster = import.whole.as_ref().filter(|whole| whole.root() == "cluster")?;
    let is_there = state.resources.get(address).is_some_and(|entry| entry.current.is_some());
    if is_there || *address != cluster.child("head") {
        return None;
    }
    let Some(Node::Resource(head)) = compiled.graph.nodes.get(address) else { return None };
    Some(Wanted { cluster, head, import, mark: head.marks.get(CLUSTER_TAG)? })
}

fn found(call: &Call, answer: Answer) -> Result<Vec<Found>, Failure> {
    match answer {
        Answer::Found(found) => Ok(found),
        Answer::Failed(error) => Err(refused(call, &error)),
        _ => Err(strange(call)),
    }
}

impl Wanted<'_> {
    fn search(&self, key: &str, value: &str) -> Call {
        let ResourceSpec { provider, address, kind, .. } = self.head;
        let verb = Verb::FindByTag { key: key.to_owned(), value: value.to_owned() };
        Call { provider: provider.clone(), address: address.clone(), kind: Arc::clone(kind), verb, limit: None }
    }

    /// Whichever state made it.
    fn is_head(&self, node: &Found) -> bool {
        let mark = node.tags.get(CLUSTER_TAG).and_then(|uid| uid.split_once('/')).map(|(_, mark)| mark);
        mark == Some(self.mark)
    }

    fn several(&self, heads: &[Found]) -> Diagnostic {
        let ids: Vec<&str> = heads.iter().map(|head| head.object.id.as_str()).collect();
        let title = format!("{} heads are of a cluster `{}`: {}", ids.len(), self.mark, ids.join(", "));
        let help =
            "two projects made a cluster of one name: terminate the nodes of the one that is not meant, or give it up in its own project";
        Diagnostic::error("several-found", title).at(self.import.span).of(self.cluster).help(help)
    }

    fn no_host_key(&self, head: &Found) -> Diagnostic {
        let title =
            format!("nobody knows the host key of the head of `{}` ({}), and none is accepted blindly", self.cluster, head.object.id);
        let help = "write it into the `import`: `host_key = \"ssh-ed25519 …\"`; it stands in /etc/ssh/ssh_host_ed25519_key.pub on the head";
        Diagnostic::error("import-keys", title).at(self.import.span).of(self.cluster).help(help)
    }

    fn no_login_key(&self, head: &Found) -> Diagnostic {
        let title = format!("no key is here that logs in to the head of `{}` ({})", self.cluster, head.object.id);
        let file = login_key_file(self.cluster);
        let help = format!(
            "put the pair back into `keys` of the data folder, as `{file}` and `{file}.pub`, or one that `authorized_keys` of the head names; \
             where there is none any more, terminate the nodes and take the `import` out to have the cluster made anew"
        );
        Diagnostic::error("import-keys", title).at(self.import.span).of(self.cluster).help(help)
    }

    fn of_predecessor(&self, ids: &[String]) -> Diagnostic {
        let title = format!("the cluster `{}` was made by the predecessor ({}), and cannot be carried on", self.mark, ids.join(", "));
        let note = "its nodes follow the predecessor's own scheduler, in containers and under keys that only it knows";
        let help = "stop it with the predecessor, `cloudtik stop`, and take the `import` out: `apply` makes the cluster in the workspace, which \
                    itself can be imported";
        Diagnostic::error("import-predecessor", title).at(self.import.span).of(self.cluster).note(note).help(help)
    }
}
