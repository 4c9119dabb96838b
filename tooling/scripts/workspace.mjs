/** The packages of the workspace. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "./pnpm.mjs";

/** Every package of the workspace: `{ folder, manifest }`. */
export function workspacePackages() {
  return ["packages", "apps", "tooling"].flatMap((group) =>
    readdirSync(join(root, group))
      .map((name) => join(root, group, name))
      .filter((folder) => existsSync(join(folder, "package.json")))
      .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) })),
  );
}

/** The package `name` and every package of the workspace that it needs, or can use, at run time. */
export function neededBy(name) {
  const packages = new Map(workspacePackages().map((entry) => [entry.manifest.name, entry]));
  const needed = new Set();
  const visit = (current) => {
    const entry = packages.get(current);
    if (entry === undefined || needed.has(entry)) return;
    needed.add(entry);
    Object.keys({ ...entry.manifest.dependencies, ...entry.manifest.peerDependencies }).forEach(visit);
  };
  visit(name);
  return [...needed];
}
