import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Plugin } from "vite";

/** Writes `licenses.txt`: the licence of every package of others that the bundle holds. */
export function licenses(): Plugin {
  return {
    name: "licenses",
    generateBundle() {
      const ids = [...this.getModuleIds()].map((id) => id.replace(/[?#].*$/, "")).filter((id) => id.includes("/node_modules/") && existsSync(id));
      const folders = [...new Set(ids.map(packageFolder))].sort();
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: folders.map(entry).join("\n\n") });
    },
  };
}

function packageFolder(file: string): string {
  let folder = dirname(file);
  while (!existsSync(join(folder, "package.json")) || !("version" in manifest(folder))) folder = dirname(folder);
  return folder;
}

function manifest(folder: string): { readonly name?: string; readonly version?: string; readonly license?: string } {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as ReturnType<typeof manifest>;
}

function entry(folder: string): string {
  const { name, version, license } = manifest(folder);
  const text = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((file) => join(folder, file)).find((file) => existsSync(file));
  return `${name} ${version} (${license})\n${"-".repeat(60)}\n${text === undefined ? "" : readFileSync(text, "utf8")}`;
}
