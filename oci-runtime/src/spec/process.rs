//! What a container's program is: command, environment, directory, and the signal that asks it to end.

use indexmap::IndexMap;
use oci_spec::image::Config;
use wherry_runtime_api::ContainerSpec;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SIGTERM: i32 = 15;
/// The first and last real-time signal as C programs see them.
const SIGRTMIN: i32 = 34;
const SIGRTMAX: i32 = 64;

const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The program and its arguments: `command` replaces the image's entrypoint and drops its arguments, `args`
/// replaces its arguments.
pub(crate) fn arguments(spec: &ContainerSpec, image: &Config) -> Result<Vec<String>, String> {
    let from_image = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let mut all = spec.command.clone().unwrap_or_else(|| from_image(image.entrypoint()));
    match (&spec.args, &spec.command) {
        (Some(args), _) => all.extend(args.iter().cloned()),
        (None, None) => all.extend(from_image(image.cmd())),
        (None, Some(_)) => {}
    }
    match all.first() {
        Some(program) if !program.is_empty() => Ok(all),
        _ => Err("no command: neither the container nor its image names one; set command".to_owned()),
    }
}

/// The environment: a path, the image's, the host name, what is asked; the last of equal names wins.
pub(crate) fn environment(spec: &ContainerSpec, image: &Config) -> Vec<String> {
    let mut all: IndexMap<String, String> = IndexMap::new();
    let mut set = |name: &str, value: &str| drop(all.insert(name.to_owned(), value.to_owned()));
    set("PATH", DEFAULT_PATH);
    if spec.streams.terminal {
        set("TERM", "xterm");
    }
    for variable in image.env().iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        set(name, value);
    }
    set("HOSTNAME", &spec.sandbox.hostname);
    for (name, value) in spec.common_env.iter() {
        set(name, value);
    }
    for (name, value) in &spec.env {
        set(name, value);
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The working directory, absolute.
pub(crate) fn directory(spec: &ContainerSpec, image: &Config) -> Result<String, String> {
    let asked = spec.working_dir.as_deref().filter(|text| !text.is_empty());
    match (asked, image.working_dir()) {
        (Some(asked), _) if !asked.starts_with('/') => {
            Err(format!("workingDir {asked:?} is not an absolute path"))
        }
        (Some(asked), _) => Ok(asked.to_owned()),
        (None, Some(image)) => Ok(format!("/{}", image.trim_start_matches('/'))),
        (None, None) => Ok("/".to_owned()),
    }
}

/// The signal of the image's `STOPSIGNAL` (`SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3`), else SIGTERM.
pub(crate) fn stop_signal(image: &Config) -> Result<i32, String> {
    let Some(text) = image.stop_signal().as_deref().filter(|text| !text.is_empty()) else {
        return Ok(SIGTERM);
    };
    parse_signal(text).ok_or_else(|| format!("the image's stop signal {text:?} is unknown"))
}

fn parse_signal(text: &str) -> Option<i32> {
    let valid = |number: i32| (1..=SIGRTMAX).contains(&number).then_some(number);
    if let Ok(number) = text.parse() {
        return valid(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse().ok()? };
        return valid(SIGRTMIN.checked_add(offset)?);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        let offset: i32 = if offset.is_empty() { 0 } else { offset.strip_prefix('-')?.parse().ok()? };
        return valid(SIGRTMAX.checked_sub(offset)?);
    }
    let index = SIGNALS.iter().position(|known| *known == name)?;
    i32::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use wherry_runtime_api::CommonEnv;

    use super::super::tests::container;
    use super::*;

    fn image(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn command_and_args_follow_kubernetes() {
        let image = image(r#"{"Entrypoint":["/e","1"],"Cmd":["c"]}"#);
        let list = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (command, args) = (list(&["/x"]), list(&["y"]));
        for (command, args, expected) in [
            (None, None, ["/e", "1", "c"].as_slice()),
            (None, Some(args.clone()), &["/e", "1", "y"]),
            (Some(command.clone()), None, &["/x"]),
            (Some(command), Some(args), &["/x", "y"]),
        ] {
            let spec = ContainerSpec { command, args, ..container() };
            assert_eq!(arguments(&spec, &image).unwrap(), expected);
        }
        let nothing = arguments(&ContainerSpec { command: None, ..container() }, &Config::default());
        assert!(nothing.unwrap_err().starts_with("no command"));
    }

    #[test]
    fn the_last_of_equal_variables_wins_in_the_place_of_the_first() {
        let image = image(r#"{"Env":["A=image","PATH=/bin","B=b=b","C"]}"#);
        let env =
            vec![("A".to_owned(), "x".to_owned()), ("D".into(), "d".into()), ("A".into(), "asked".into())];
        let mut common_env = CommonEnv::default();
        let common = [("A", "common"), ("C", "common"), ("D", "common"), ("E", "common")];
        common_env.set("web", common.map(|(name, value)| (name.into(), value.into())).into());
        let spec = ContainerSpec { env, common_env, ..container() };
        let expected = ["PATH=/bin", "A=asked", "B=b=b", "C=common", "HOSTNAME=host", "D=d", "E=common"];
        assert_eq!(environment(&spec, &image), expected);
    }

    #[test]
    fn the_working_directory_is_absolute() {
        let of = |asked: Option<&str>, json| {
            directory(&ContainerSpec { working_dir: asked.map(str::to_owned), ..container() }, &image(json))
        };
        assert_eq!(of(None, "{}").unwrap(), "/");
        assert_eq!(of(None, r#"{"WorkingDir":"srv"}"#).unwrap(), "/srv");
        assert_eq!(of(Some("/a"), r#"{"WorkingDir":"/srv"}"#).unwrap(), "/a");
        assert_eq!(of(Some("a"), "{}").unwrap_err(), "workingDir \"a\" is not an absolute path");
    }

    #[test]
    fn stop_signals_are_names_or_numbers() {
        for (text, expected) in [
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("SIGSYS", Some(31)),
            ("0", None),
            ("65", None),
            ("SIGRTMIN+99", None),
            ("NONE", None),
        ] {
            assert_eq!(parse_signal(text), expected, "{text}");
        }
        assert_eq!(stop_signal(&Config::default()).unwrap(), SIGTERM);
    }
}
