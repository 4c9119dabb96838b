/**
 * Imports point one way. Every package may import what the table allows and its own manifest declares, nothing else;
 * circular imports between files are the linter's `import/no-cycle`.
 */
import { readFileSync, readdirSync } from "node:fs";
import { builtinModules } from "node:module";
import { join, relative } from "node:path";
import ts from "typescript";
import { root } from "./pnpm.mjs";
import { workspacePackages } from "./workspace.mjs";

const contracts = ["@infllm/tensor", "@infllm/block-selection", "@infllm/attention"];
/** Workspace packages that each package's sources may import. Tests, build files and checks for a GPU machine may import anything declared. */
const allowed = {
  "@infllm/tensor": [],
  "@infllm/block-selection": ["@infllm/tensor"],
  "@infllm/attention": ["@infllm/tensor", "@infllm/block-selection"],
  "@infllm/backend-cpu": contracts,
  "@infllm/backend-cuda": contracts,
  "@infllm/backend-webgpu": contracts,
  "@infllm/model": [...contracts, "@infllm/tiny-model"],
  "@infllm/tiny-model": [],
  "@infllm/demo-text": ["@infllm/tensor"],
  "@infllm/command": [...contracts, "@infllm/model", "@infllm/backend-cpu", "@infllm/backend-cuda", "@infllm/backend-webgpu"],
  "@infllm/conformance": contracts,
};

export function checkImports() {
  const problems = workspacePackages().flatMap(packageProblems);
  if (problems.length === 0) return;
  console.error(problems.join("\n"));
  process.exit(1);
}

function packageProblems({ folder, manifest }) {
  const production = { ...manifest.dependencies, ...manifest.peerDependencies };
  const everything = { ...production, ...manifest.devDependencies };
  return sourceFiles(folder).flatMap((file) => {
    const isTest = /\.test\.ts$|\/test\/|(?:tsup|vite)\.config\.ts$|\/(?:scripts|build|gpu)\//.test(file);
    return importsOf(file).flatMap((specifier) => {
      const name = packageName(specifier);
      const where = relative(root, file);
      if (name === undefined || name === manifest.name) return [];
      if (!(name in (isTest ? everything : production)))
        return [`${where} imports ${name}, which ${manifest.name} does not declare${isTest ? "" : " as a dependency"}.`];
      const table = allowed[manifest.name];
      if (!isTest && table && name.startsWith("@infllm/") && !table.includes(name))
        return [`${where} imports ${name}; ${manifest.name} may import ${table.join(", ") || "no workspace package"}.`];
      return [];
    });
  });
}

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (["node_modules", "dist", "generated", "kernels", "data", ".turbo"].includes(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sourceFiles(path);
    return entry.name.endsWith(".ts") && !entry.name.endsWith(".d.ts") ? [path] : [];
  });
}

function importsOf(file) {
  return ts.preProcessFile(readFileSync(file, "utf8"), true, true).importedFiles.map((file) => file.fileName);
}

/** The npm package of an import specifier; undefined for relative paths and Node's own modules. */
function packageName(specifier) {
  if (specifier.startsWith(".") || specifier.startsWith("node:") || builtinModules.includes(specifier)) return undefined;
  const parts = specifier.split("/");
  return specifier.startsWith("@") ? parts.slice(0, 2).join("/") : parts[0];
}
