//! `cloudtik status`

use std::fmt::Write as _;

use cloudtik::model::ControllerStatus;
use cloudtik::{ClusterStatus, Failure, StatusSource};

use super::super::values::harmless;
use super::super::{Exit, project};
use super::Context;

pub(crate) fn run(context: &Context<'_>, cluster: Option<&str>, as_json: bool) -> Result<Exit, Failure> {
    let printer = context.printer;
    let status = project::open(context.environment, context.given, None, None)?.status(cluster)?;
    if let StatusSource::Provider { why, .. } = &status.source {
        printer.say_line(&harmless(&format!("warning: {why}; this is what its provider knows")));
    }
    if as_json {
        printer.json(&status.to_json());
    } else {
        printer.data(&harmless(&text(&status)));
    }
    Ok(Exit::Done)
}

fn text(status: &ClusterStatus) -> String {
    match &status.source {
        StatusSource::NoController => format!("{}: a head ({}) and no workers\n", status.cluster, status.head),
        StatusSource::Head(of_head) => of_controller(status, of_head),
        StatusSource::Provider { published, nodes, .. } => {
            let mut out = format!("{}: its head ({}) does not answer\n", status.cluster, status.head);
            let groups = published.iter().filter_map(|(key, value)| Some((key.strip_prefix("group.")?, value)));
            let groups = groups.map(|(group, value)| {
                let mut parts = value.split('/').map(str::to_owned);
                [group.to_owned(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default()].to_vec()
            });
            table(&mut out, &["GROUP", "DESIRED", "READY"], groups.collect());
            let nodes = nodes.iter().map(|node| vec![node.address.clone(), node.id.clone()]);
            table(&mut out, &["NODE", "ID"], nodes.collect());
            out
        }
    }
}

fn of_controller(cluster: &ClusterStatus, status: &ControllerStatus) -> String {
    let how = match (&status.problem, status.draining, status.settled) {
        (Some(problem), _, _) => format!("hindered: {problem}"),
        (None, true, _) => "draining".to_owned(),
        (None, false, true) => "settled".to_owned(),
        (None, false, false) => "at work".to_owned(),
    };
    let mut out = format!(
        "{}: {how}\nhead {}, configuration {}, cloudtik {}\n",
        cluster.cluster, cluster.head, status.generation, status.tool_version
    );
    let groups = status.groups.iter().map(|(name, group)| {
        let rolling = if group.outdated > 0 { format!("{} to replace", group.outdated) } else { String::new() };
        let numbers = [group.min, group.max, group.desired, group.ready].map(|number| number.to_string());
        [name.clone()].into_iter().chain(numbers).chain([rolling]).collect()
    });
    table(&mut out, &["GROUP", "MIN", "MAX", "DESIRED", "READY", "ROLLING"], groups.collect());
    let nodes = status.nodes.iter().map(|(name, node)| {
        let steps = format!("{}/{}", node.steps_done, node.steps);
        vec![name.clone(), node.id.clone(), node.address.clone(), node.state.as_str().to_owned(), steps, node.running.join(", ")]
    });
    table(&mut out, &["NODE", "ID", "ADDRESS", "STATE", "STEPS", "RUNNING"], nodes.collect());
    let services = status.services.iter().map(|(name, endpoints)| vec![name.clone(), endpoints.join(", ")]);
    table(&mut out, &["SERVICE", "ENDPOINTS"], services.collect());
    let of_groups = status.groups.iter().map(|(name, group)| (format!("group {name}"), &group.problem));
    let of_nodes = status.nodes.iter().map(|(name, node)| (name.clone(), &node.problem));
    for (name, problem) in of_groups.chain(of_nodes) {
        if let Some(problem) = problem {
            let _ = write!(out, "\n{name}: {problem}");
        }
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// A table below a blank line; nothing when it is empty.
fn table(out: &mut String, headings: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = std::iter::once(headings.iter().map(|heading| (*heading).to_owned()).collect()).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    out.push('\n');
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use cloudtik::PublishedNode;
    use cloudtik::model::{GroupStatus, NodeState, NodeStatus};

    use super::*;

    fn cluster(source: StatusSource) -> ClusterStatus {
        ClusterStatus { cluster: "cluster.etl".parse().unwrap(), head: "i-head".to_owned(), source }
    }

    #[test]
    fn a_status_shows_groups_nodes_services_and_problems() {
        let node = NodeStatus {
            group: "etcd".to_owned(),
            id: "i-1".to_owned(),
            address: "10.0.0.3".to_owned(),
            state: NodeState::SettingUp,
            host_key: None,
            ssh_user: String::new(),
            ssh_port: 22,
            steps_done: 3,
            steps: 7,
            running: vec!["cluster.etl.workers.etcd[1].setup.step.x".to_owned()],
            problem: Some("its disk is slow".to_owned()),
        };
        let group = GroupStatus { min: 1, max: 3, desired: 2, ready: 1, outdated: 1, ..GroupStatus::default() };
        let status = ControllerStatus {
            tool_version: "0.1.0".to_owned(),
            generation: 4,
            groups: [("etcd".to_owned(), group)].into(),
            nodes: [("cluster.etl.workers.etcd[1]".to_owned(), node)].into(),
            services: [("etcd-client".to_owned(), vec!["10.0.0.3:2379".to_owned()])].into(),
            ..ControllerStatus::default()
        };
        let expected = "\
cluster.etl: at work
head i-head, configuration 4, cloudtik 0.1.0

GROUP  MIN  MAX  DESIRED  READY  ROLLING
etcd   1    3    2        1      1 to replace

NODE                         ID   ADDRESS   STATE       STEPS  RUNNING
cluster.etl.workers.etcd[1]  i-1  10.0.0.3  setting up  3/7    cluster.etl.workers.etcd[1].setup.step.x

SERVICE      ENDPOINTS
etcd-client  10.0.0.3:2379

cluster.etl.workers.etcd[1]: its disk is slow
";
        assert_eq!(text(&cluster(StatusSource::Head(Box::new(status)))), expected);
    }

    #[test]
    fn what_the_provider_knows_is_shown_where_the_head_does_not_answer() {
        let node = PublishedNode { address: "cluster.etl.workers.etcd[1]".to_owned(), id: "i-1".to_owned(), group: "etcd".to_owned() };
        let published = [("group.etcd".to_owned(), "3/2/abc".to_owned()), ("epoch".to_owned(), "4".to_owned())].into();
        let source = StatusSource::Provider { why: "it is dead".to_owned(), published, nodes: vec![node] };
        let expected = "\
cluster.etl: its head (i-head) does not answer

GROUP  DESIRED  READY
etcd   3        2

NODE                         ID
cluster.etl.workers.etcd[1]  i-1
";
        assert_eq!(text(&cluster(source)), expected);
        assert_eq!(text(&cluster(StatusSource::NoController)), "cluster.etl: a head (i-head) and no workers\n");
    }
}
