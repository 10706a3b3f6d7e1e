//! The conformance suite of the runtime contract: what every [`Runtime`] has to do, written once.
//!
//! A runtime's tests say how a machine with that runtime is made ([`Machine`]) and run the suite on it ([`suite!`]), a machine
//! for each behaviour. Containers run the guest `tests/guests/cli`, which does the steps it is told: as WebAssembly in one
//! runtime, as a program of the machine in the other.
//!
//! Reading order: [`lifecycle`], [`programs`], [`limits`], [`commands`], [`refusals`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "it is a library of tests: what fails here, fails the test that called it"
)]

pub mod commands;
pub mod lifecycle;
pub mod limits;
mod machine;
pub mod programs;
pub mod refusals;

pub use machine::{Machine, PODS};
#[doc(hidden)]
pub use tokio;

/// A test of each behaviour, on machines of the given type.
#[macro_export]
macro_rules! suite {
    ($machine:ty) => {
        $crate::suite! { $machine:
            lifecycle {
                every_call_may_be_repeated,
                states_follow_the_life_of_a_container,
                starts_at_once_start_once,
                a_container_stopped_before_its_start_never_runs,
                what_does_not_heed_is_killed_after_the_grace_period,
                what_runs_is_killed_when_it_is_removed,
                a_sandbox_goes_with_its_containers_and_no_others,
                the_next_agent_knows_what_goes_on,
            }
            programs {
                the_exit_code_is_the_programs,
                output_is_logged_by_stream_and_line,
                output_arrives_whole,
                the_last_of_equal_variables_wins,
                volumes_are_seen_and_read_only_ones_kept_so,
                a_file_may_be_mounted_alone,
                containers_of_a_pod_run_beside_each_other,
            }
            limits {
                the_memory_limit_kills,
                containers_share_the_memory_of_their_pod,
                a_memory_limit_may_change_while_the_program_runs,
                what_is_taken_of_the_machine_is_told,
            }
            commands {
                output_errors_and_exit_code_arrive,
                a_command_has_the_containers_environment_and_files,
                input_reaches_a_command_until_it_is_closed,
                a_terminal_carries_all_streams,
                a_command_ends_with_its_container,
                who_attaches_sees_what_is_written_from_then_on,
                who_attaches_may_type_and_leave_it_to_the_next,
                input_for_one_ends_with_that_one,
                the_terminal_of_a_program_may_be_joined,
            }
            refusals {
                what_does_not_exist_is_said,
                what_does_not_run_takes_no_commands,
                an_image_of_another_kind_is_refused,
                a_log_that_cannot_be_written_is_a_start_error,
                a_volume_that_is_not_there_is_named,
            }
        }
    };
    ($machine:ty: $($module:ident { $($name:ident,)* })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let mut machine = <$machine as $crate::Machine>::new().await;
                $crate::$module::$name(&mut machine).await;
                $crate::Machine::finish(machine).await;
            }
        )*)*
    };
}

#[cfg(test)]
mod tests {
    /// A behaviour that is in no list would be run by nobody.
    #[test]
    fn every_behaviour_is_in_the_suite() {
        let list = include_str!("lib.rs");
        for source in [
            include_str!("commands.rs"),
            include_str!("lifecycle.rs"),
            include_str!("limits.rs"),
            include_str!("programs.rs"),
            include_str!("refusals.rs"),
        ] {
            for line in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let name = line.split(['<', '(']).next().unwrap();
                assert!(list.contains(&format!("    {name},\n")), "{name} is not in the suite");
            }
        }
    }
}
