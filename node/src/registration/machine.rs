//! What this machine is and has.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::statvfs;
use wherry_runtime_api::huge_pages::{self, HugePages};

use crate::allocations::Amounts;
use crate::huge_pages::{amount, resource};
use crate::resource_managers::ResourceSettings;

/// What does not change while the machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Processors.
    pub(crate) cpus: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// What of it is in huge pages.
    pub(crate) huge_pages: HugePages,
    /// Bytes of the file system that holds the agent's data.
    pub(crate) storage: u64,
    /// Kernel release.
    pub(crate) kernel: String,
    /// The operating system's name for people.
    pub(crate) os_image: String,
    /// Identifies the machine.
    pub(crate) id: String,
    /// Identifies its firmware's machine.
    pub(crate) system_uuid: String,
    /// Identifies the boot.
    pub(crate) boot_id: String,
    /// What is kept from pods of its processors and its memory.
    pub(crate) reserved: Amounts,
    /// Bytes of the file system that are kept from pods, beside a tenth of it.
    pub(crate) reserved_storage: u64,
}

impl Machine {
    /// The same machine, of which pods may not use all.
    pub(crate) fn reserving(self, settings: &ResourceSettings) -> Self {
        Self { reserved: settings.reserved(), reserved_storage: settings.reserved_storage(), ..self }
    }

    /// Looks at the machine; what cannot be found out is empty or zero.
    pub(crate) fn observe(data_dir: &Path) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
        let storage = statvfs(data_dir).map_or(0, |fs| fs.f_blocks * fs.f_frsize);
        let text = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            cpus,
            memory: meminfo("MemTotal").unwrap_or(0),
            huge_pages: huge_pages::of_kernel(Path::new(huge_pages::KERNEL)),
            storage,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            os_image: os_image(&text("/etc/os-release")),
            id: text("/etc/machine-id"),
            system_uuid: text("/sys/class/dmi/id/product_uuid"),
            boot_id: text("/proc/sys/kernel/random/boot_id"),
            reserved: Amounts::default(),
            reserved_storage: 0,
        }
    }

    /// What the machine has, by resource.
    pub(crate) fn capacity(&self, max_pods: u32) -> BTreeMap<String, String> {
        let all = Amounts { cpu: self.cpus * 1000, memory: self.memory };
        self.resources(all, self.storage, max_pods)
    }

    /// What of it pods may use.
    pub(crate) fn allocatable(&self, max_pods: u32) -> BTreeMap<String, String> {
        let storage = (self.storage / 10 * 9).saturating_sub(self.reserved_storage);
        self.resources(self.allocatable_amounts(), storage, max_pods)
    }

    /// What of its processors and its memory pods may use. Huge pages are no memory for anything else.
    pub(crate) fn allocatable_amounts(&self) -> Amounts {
        let huge: u64 = self.huge_pages.values().sum();
        Amounts {
            cpu: (self.cpus * 1000).saturating_sub(self.reserved.cpu),
            memory: self.memory.saturating_sub(self.reserved.memory).saturating_sub(huge),
        }
    }

    fn resources(&self, amounts: Amounts, storage: u64, max_pods: u32) -> BTreeMap<String, String> {
        let Amounts { cpu, memory } = amounts;
        let cpu = if cpu % 1000 == 0 { (cpu / 1000).to_string() } else { format!("{cpu}m") };
        let all = [
            ("cpu", cpu),
            ("memory", format!("{}Ki", memory / 1024)),
            ("ephemeral-storage", format!("{}Ki", storage / 1024)),
            ("pods", max_pods.to_string()),
        ];
        let all = all.map(|(name, value)| (name.to_owned(), value)).into_iter();
        all.chain(self.huge_pages.iter().map(|(size, bytes)| (resource(*size), amount(*bytes).to_string())))
            .collect()
    }
}

/// A line of `/proc/meminfo`, in bytes.
pub(crate) fn meminfo(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn os_image(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_parsed() {
        assert_eq!(os_image("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
        assert_eq!(os_image(""), "Linux");
    }

    #[test]
    fn this_machine_has_something() {
        let machine = Machine::observe(Path::new("/"));
        assert!(machine.cpus > 0 && machine.memory > 0 && machine.storage > 0 && !machine.kernel.is_empty());
        let settings =
            ResourceSettings { kube_reserved: "cpu=100m".parse().unwrap(), ..ResourceSettings::default() };
        let machine = Machine { cpus: 2, ..machine }.reserving(&settings);
        let (capacity, allocatable) = (machine.capacity(500), machine.allocatable(500));
        assert_eq!((&*allocatable["pods"], &*capacity["cpu"], &*allocatable["cpu"]), ("500", "2", "1900m"));
        assert_ne!(allocatable["memory"], capacity["memory"]);
    }

    #[test]
    fn huge_pages_are_no_other_memory() {
        let machine = Machine { memory: 1 << 30, ..Machine::observe(Path::new("/")) };
        let machine =
            Machine { huge_pages: HugePages::from([(2 << 20, 512 << 20), (1 << 30, 0)]), ..machine };
        let (capacity, allocatable) = (machine.capacity(500), machine.allocatable(500));
        for all in [&capacity, &allocatable] {
            assert_eq!((&*all["hugepages-2Mi"], &*all["hugepages-1Gi"]), ("512Mi", "0"));
        }
        assert_eq!((&*capacity["memory"], &*allocatable["memory"]), ("1048576Ki", "524288Ki"));
    }
}
