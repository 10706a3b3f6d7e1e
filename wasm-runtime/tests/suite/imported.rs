//! Code that was compiled elsewhere, and nodes that do not compile.

use crate::support::{Node, address, digest_of, get, guest_file, image, runtime, strings};
use wherry_runtime_api::{ImageContent, Runtime as _};
use wherry_wasm_runtime::{AddressSpace, Archive, ImportedCode, Target, compile};

/// What `wherry compile` makes of a guest for machines like this one.
fn archive(guest: &str, spaces: &[AddressSpace]) -> Archive {
    compile(&std::fs::read(guest_file(guest)).unwrap(), Target::own(), spaces).unwrap()
}

fn imported(node: &Node) -> ImportedCode {
    ImportedCode::open(&node.dir.path().join("runtime")).unwrap()
}

async fn refusal(node: &Node, image: &ImageContent) -> String {
    node.runtime.prepare_image(image).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_node_that_does_not_compile_runs_what_was_compiled_elsewhere() {
    let node = Node::with(|config| config.compiles = false);
    let server = node.container("hello", "hello-wasm");
    let error = refusal(&node, &server.image).await;
    let digest = digest_of(&server.image);
    let told =
        format!("finding compiled code of {digest} failed: there is none, and this node does not compile: ");
    assert!(error.starts_with(&told) && error.contains("`wherry code import FILE"), "{error}");

    imported(&node).add(&archive("hello-wasm", &[AddressSpace::Large])).unwrap();
    node.start(&server).await.unwrap();
    assert_eq!(get(address(&server), "/").await.0, 200, "the running node finds it");

    imported(&node).add(&archive("cli-p1", &[AddressSpace::Large])).unwrap();
    let mut command = node.container("cli", "cli-p1");
    command.args = Some(strings(&["exit", "3"]));
    assert_eq!(node.run(&command).await.code, 3);

    node.runtime.forget_image(digest).await.unwrap();
    let restarted = runtime(node.dir.path(), |config| config.compiles = false);
    restarted.prepare_image(&server.image).await.unwrap();
    assert_eq!(node.runtime.statistics().images_compiled, 0);
}

#[tokio::test]
async fn of_several_codes_the_one_that_fits_is_taken() {
    let node = Node::with(|config| config.compiles = false);
    let image = image(&guest_file("cli-p1"));
    imported(&node).add(&archive("cli-p1", &[AddressSpace::Small])).unwrap();
    let error = refusal(&node, &image).await;
    assert!(
        error.contains("code that does not fit this node (") && error.contains("memory reservation"),
        "{error}"
    );
    imported(&node).add(&archive("cli-p1", &[AddressSpace::Small, AddressSpace::Large])).unwrap();
    node.runtime.prepare_image(&image).await.unwrap();
}

#[tokio::test]
async fn a_node_that_compiles_need_not_and_still_can() {
    let node = Node::new();
    let image = image(&guest_file("cli-p1"));
    imported(&node).add(&archive("cli-p1", &[AddressSpace::Large])).unwrap();
    node.runtime.prepare_image(&image).await.unwrap();
    assert_eq!(node.runtime.statistics().images_compiled, 0);

    let file =
        std::fs::read_dir(node.dir.path().join("runtime/imported")).unwrap().next().unwrap().unwrap().path();
    let mut code = std::fs::read(&file).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    std::fs::write(&file, code).unwrap();
    let restarted = runtime(node.dir.path(), |_| {});
    restarted.prepare_image(&image).await.unwrap();
    assert_eq!(restarted.statistics().images_compiled, 1, "what was changed is not used");
}
