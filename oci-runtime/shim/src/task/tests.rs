//! Every task comes out of its arguments as it went in; nothing else is a task.

use std::os::unix::ffi::OsStringExt as _;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;

fn path() -> impl Strategy<Value = PathBuf> {
    vec(1..=u8::MAX, 0..12).prop_map(|bytes| OsString::from_vec(bytes).into())
}

prop_compose! {
    fn runtime()(binary in path(), root in path(), id in "[^\0]{0,9}") -> OciRuntime {
        OciRuntime { binary, root, id }
    }
}

fn bind() -> impl Strategy<Value = Bind> {
    (path(), path()).prop_map(|(source, place)| Bind { source, place })
}

prop_compose! {
    fn container()(
        (dir, log, runtime, layers) in (path(), path(), runtime(), any::<usize>()),
        (cgroup, shim_cgroup) in ("[^\0]{0,9}", "[^\0]{0,9}"),
        stdin in prop_oneof![Just(Stdin::Empty), Just(Stdin::Open), Just(Stdin::Once)],
        (terminal, leaves_processes) in any::<(bool, bool)>(),
        (shared, mapped) in (vec(bind(), 0..3), vec(bind(), 0..3)),
        users in of((path(), any::<u32>())),
    ) -> Task {
        let users = users.map(|(namespace, first_id)| Mapping { namespace, first_id });
        Task::Container(Box::new(Container {
            dir, log, runtime, layers, cgroup, shim_cgroup, stdin, terminal, leaves_processes, shared, users, mapped,
        }))
    }
}

prop_compose! {
    fn command()(
        (dir, runtime, shim_cgroup) in (path(), runtime(), "[^\0]{0,9}"),
        (terminal, first_id) in any::<(bool, Option<u32>)>(),
    ) -> Task {
        Task::Command(Command { dir, runtime, shim_cgroup, terminal, first_id })
    }
}

prop_compose! {
    fn users()(
        (user, network, ipc, maps) in (path(), path(), path(), path()),
        (first_id, count) in any::<(u32, u32)>(),
    ) -> Task {
        Task::Users(Users { user, network, ipc, first_id, count, maps })
    }
}

prop_compose! {
    fn pause()(
        cgroup in "[^\0]{0,9}",
        (ipc, network, user) in (of(path()), of(path()), of(path())),
        (root, namespace) in (path(), path()),
    ) -> Task {
        Task::Pause(Pause { cgroup, ipc, network, user, root, namespace })
    }
}

fn pause_as_users() -> impl Strategy<Value = Task> {
    (path(), path()).prop_map(|(user, root)| Task::PauseAsUsers(PauseAsUsers { user, root }))
}

proptest! {
    #[test]
    fn a_task_is_read_as_it_was_written(
        task in prop_oneof![
            container(), command(), pause(), pause_as_users(), users(), Just(Task::FirstProcess), Just(Task::AsUsers)
        ],
        extra in "[a-z]{3,9}",
    ) {
        let mut args = task.to_args();
        prop_assert_eq!(Task::from_args(args.clone()), Ok(task));
        args.push(format!("x{extra}=1").into());
        prop_assert_eq!(Task::from_args(args), Err(format!("the field x{extra} does not belong here")));
    }

    #[test]
    fn arguments_of_any_kind_are_read_or_refused(args in vec(vec(1..=u8::MAX, 0..12), 0..6)) {
        let args: Vec<OsString> = args.into_iter().map(OsString::from_vec).collect();
        if let Ok(task) = Task::from_args(args.clone()) {
            prop_assert_eq!(task.to_args().len(), args.len());
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let args = |words: &[&str]| Task::from_args(words.iter().map(OsString::from));
    assert_eq!(args(&["command", "dir=/a"]), Err("the field runtime is missing".to_owned()));
    assert_eq!(args(&["command", "dir"]), Err("the argument dir has no value".to_owned()));
    assert_eq!(args(&[]), Err("shims are started by the node agent, not by hand".to_owned()));
}
