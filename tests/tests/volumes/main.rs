//! What containers see of their volumes, by file of Kubernetes' conformance suite.

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod config_map;
#[cfg(test)]
mod csi;
#[cfg(test)]
mod downward;
#[cfg(test)]
mod downward_api;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod empty_dir;
#[cfg(test)]
mod empty_dir_wrapper;
#[cfg(test)]
mod expansion;
#[cfg(test)]
mod huge_pages;
#[cfg(test)]
mod image;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod projected_combined;
#[cfg(test)]
mod projected_config_map;
#[cfg(test)]
mod projected_downward_api;
#[cfg(test)]
mod projected_secret;
#[cfg(test)]
mod propagation;
#[cfg(test)]
mod secret;
#[cfg(test)]
mod sub_path;
