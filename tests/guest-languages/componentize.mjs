// Makes a component of a script: node componentize.mjs SCRIPT WIT COMPONENT

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [sourcePath, witPath, result] = process.argv.slice(2);
const { component } = await componentize({ sourcePath, witPath, worldName: "server" });
await writeFile(result, component);
