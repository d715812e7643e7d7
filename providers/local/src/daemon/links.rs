//! Interfaces of the namespaces form, by netlink: a bridge per network and a pair of ends per node. Nothing else of the machine's network is
//! touched: no forwarding, no firewall, no setting.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::thread;

use ipnet::Ipv4Net;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth};

use super::addresses::gateway_of;
use crate::failure::{io_failure, permanent, system_failure};
use crate::protocol::CloudError;

/// What a node's interface is called inside.
const NODE_INTERFACE: &str = "eth0";

/// The bridge of a network. Names of interfaces end at 15 bytes, so eight digits of the id must do.
pub(crate) fn bridge_of(network: &str) -> String {
    format!("ctb-{}", short(network))
}

/// The machine's end of a node's pair.
fn outer_end_of(instance: &str) -> String {
    format!("cto-{}", short(instance))
}

/// The node's end, as long as it is on the machine.
fn inner_end_of(instance: &str) -> String {
    format!("cti-{}", short(instance))
}

fn short(id: &str) -> String {
    id.rsplit('-').next().unwrap_or(id).chars().take(8).collect()
}

/// A locally administered hardware address that follows from the address: whoever talked to an address before finds the next node that has it
/// at once, and not when its table of neighbours has grown old.
fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    [0x02, 0x63].into_iter().chain(address.octets()).collect()
}

/// Makes the bridge of a network, or completes one that is there.
pub(crate) fn make_bridge(network: &str, cidr: Ipv4Net) -> Result<(), CloudError> {
    let name = bridge_of(network);
    with_netlink(None, async move |handle| {
        if index_of(&name).is_none() {
            handle.link().add(LinkBridge::new(&name).build()).execute().await.map_err(failed("make the bridge", &name))?;
        }
        let index = need_index(&name)?;
        let message = LinkUnspec::new_with_index(index).address(hardware_address(gateway_of(cidr))).build();
        handle.link().set(message).execute().await.map_err(failed("give a hardware address to", &name))?;
        let address = IpAddr::V4(gateway_of(cidr));
        let request = handle.address().add(index, address, cidr.prefix_len()).replace();
        request.execute().await.map_err(failed("give an address to", &name))?;
        handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await.map_err(failed("start", &name))
    })
}

/// Gives the network namespace of a process its interface and address.
pub(crate) fn connect_node(instance: &str, network: &str, pid: i32, address: Ipv4Addr, cidr: Ipv4Net) -> Result<(), CloudError> {
    let (outer, inner, bridge) = (outer_end_of(instance), inner_end_of(instance), bridge_of(network));
    let process = u32::try_from(pid).map_err(|_| permanent("bad_process", format!("{pid} is not the id of a process")))?;
    let inner_name = inner.clone();
    with_netlink(None, async move |handle| {
        handle.link().add(LinkVeth::new(&outer, &inner).build()).execute().await.map_err(failed("make the interface", &outer))?;
        let message = LinkUnspec::new_with_index(need_index(&outer)?).controller(need_index(&bridge)?).up().build();
        handle.link().set(message).execute().await.map_err(failed("connect", &outer))?;
        let message = LinkUnspec::new_with_index(need_index(&inner)?).setns_by_pid(process).build();
        handle.link().set(message).execute().await.map_err(failed("hand over", &inner))
    })?;
    let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
    let namespace = File::open(&path).map_err(|error| io_failure("open", &path, &error))?;
    with_netlink(Some(namespace), async move |handle| {
        let index = need_index(&inner_name)?;
        let message = LinkUnspec::new_with_index(index).name(NODE_INTERFACE).address(hardware_address(address)).build();
        handle.link().set(message).execute().await.map_err(failed("rename", &inner_name))?;
        let request = handle.address().add(index, IpAddr::V4(address), cidr.prefix_len());
        request.execute().await.map_err(failed("give an address to", NODE_INTERFACE))?;
        for index in [need_index("lo")?, index] {
            handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await.map_err(failed("start", NODE_INTERFACE))?;
        }
        Ok(())
    })
}

/// Removes a node's pair; one that is not there is fine.
pub(crate) fn disconnect_node(instance: &str) -> Result<(), CloudError> {
    remove(outer_end_of(instance))
}

/// Removes a network's bridge; one that is not there is fine.
pub(crate) fn remove_bridge(network: &str) -> Result<(), CloudError> {
    remove(bridge_of(network))
}

fn remove(name: String) -> Result<(), CloudError> {
    let Some(index) = index_of(&name) else { return Ok(()) };
    with_netlink(None, async move |handle| match handle.link().del(index).execute().await {
        // It went by itself together with its namespace.
        Err(_) if index_of(&name).is_none() => Ok(()),
        other => other.map_err(failed("remove", &name)),
    })
}

/// Runs `work` in a thread of its own, because entering a network namespace is for a thread's life.
fn with_netlink(
    namespace: Option<File>,
    work: impl AsyncFnOnce(Handle) -> Result<(), CloudError> + Send + 'static,
) -> Result<(), CloudError> {
    let thread = thread::spawn(move || {
        if let Some(namespace) = namespace {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| system_failure("enter the node's network", &errno.into()))?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(|error| system_failure("talk to the kernel's network", &error))?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| system_failure("open a netlink socket", &error))?;
            let connection = tokio::spawn(connection);
            let done = work(handle).await;
            connection.abort();
            done
        })
    });
    thread.join().unwrap_or_else(|_| Err(permanent("netlink", "the thread that talks to the kernel's network ended")))
}

fn index_of(name: &str) -> Option<u32> {
    if_nametoindex(name).ok()
}

fn need_index(name: &str) -> Result<u32, CloudError> {
    if_nametoindex(name).map_err(|errno| system_failure(&format!("find the interface {name}"), &errno.into()))
}

fn failed(doing: &str, name: &str) -> impl Fn(rtnetlink::Error) -> CloudError {
    let what = format!("{doing} {name}");
    move |error| match &error {
        rtnetlink::Error::NetlinkError(message) => system_failure(&what, &message.to_io()),
        _ => permanent("netlink", format!("cannot {what}: {error}")),
    }
}
