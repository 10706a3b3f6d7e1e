//! What containers and strangers may not: reach the node, its files and its kernel, or programs of others (`docs/security.md`).
//!
//! Each attempt of a container is also made by one that may do it, or the attempt would prove nothing.

mod copies;
mod node_files;
mod streams;
mod system_calls;

use wherry_tests::{Options, in_cluster};

#[test]
fn containers_do_not_reach_the_node() {
    in_cluster(Options::default(), |cluster| {
        node_files::tricks_with_proc_and_devices_lead_nowhere(cluster);
        node_files::no_working_directory_leads_out(cluster);
        node_files::a_path_of_the_node_is_what_its_type_says(cluster);
        copies::nothing_is_written_beside_the_target(cluster);
    });
}

#[test]
fn system_calls_and_streams_are_kept_from_who_may_not() {
    in_cluster(Options::default(), |cluster| {
        system_calls::the_default_profile_blocks_what_is_documented(cluster);
        streams::nobody_runs_commands_by_saying_who_he_is(cluster);
    });
}
