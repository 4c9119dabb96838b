import { execFile } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);
export const root = fileURLToPath(new URL("../../../", import.meta.url));

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly packageManager?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

export interface WorkspacePackage {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** The packages that are published, by name. */
export function publishedPackages(): ReadonlyMap<string, WorkspacePackage> {
  const found = ["packages", "apps"].flatMap((group) =>
    readdirSync(join(root, group))
      .map((name) => join(root, group, name))
      .filter((folder) => existsSync(join(folder, "package.json")))
      .map((folder) => ({ folder, manifest: readManifest(folder) })),
  );
  return new Map(found.filter(({ manifest }) => !manifest.private).map((entry) => [entry.manifest.name, entry]));
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

export function emptyFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "infllm-"));
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end without a shell; a non-zero exit is a result, not an error. */
export async function command(
  program: string,
  args: readonly string[],
  cwd: string,
  extraEnv: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const env: NodeJS.ProcessEnv = { ...process.env, ...extraEnv };
  delete env["NODE_OPTIONS"];
  try {
    const { stdout, stderr } = await execute(program, args, { cwd, env, maxBuffer: 64 << 20 });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout = "", stderr = "" } = error as { code?: unknown; stdout?: string; stderr?: string };
    if (typeof code !== "number") throw error;
    return { code, stdout, stderr };
  }
}

/** Standard error without what Dawn itself says of lavapipe's limits. */
export function withoutDawnRemarks(text: string): string {
  return text.replaceAll(/^Warning: max\w+ artificially reduced .*\n/gm, "");
}

/**
 * Packs packages as they would be published, but for the scripts that may refuse it (no CUDA kernels on this machine, say),
 * and returns the tarballs' paths, in the order of `names`.
 */
export async function pack(names: readonly string[], destination: string): Promise<string[]> {
  const packages = publishedPackages();
  const { packageManager = "pnpm" } = readManifest(root);
  const tarballs: string[] = [];
  for (const name of names) {
    const found = packages.get(name);
    if (!found) throw new Error(`${name} is no published package of this workspace.`);
    const packed = await command("npx", ["--yes", packageManager, "pack", "--json", "--config.ignore-scripts=true", "--pack-destination", destination], found.folder);
    if (packed.code !== 0) throw new Error(`pnpm pack failed for ${name}:\n${packed.stdout}${packed.stderr}`);
    tarballs.push((JSON.parse(packed.stdout) as { filename: string }).filename);
  }
  return tarballs;
}

/** The package and every workspace package it depends on at run time. */
export function withDependencies(name: string): string[] {
  const packages = publishedPackages();
  const seen = new Set<string>();
  const visit = (current: string): void => {
    const found = packages.get(current);
    if (!found || seen.has(current)) return;
    seen.add(current);
    for (const dependency of Object.keys(found.manifest.dependencies ?? {})) visit(dependency);
  };
  visit(name);
  return [...seen];
}

/** An empty folder with the given tarballs installed, install scripts off. */
export async function installed(tarballs: readonly string[]): Promise<string> {
  const folder = await emptyFolder();
  const install = await command("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", ...tarballs], folder);
  if (install.code !== 0) throw new Error(`npm install failed:\n${install.stdout}${install.stderr}`);
  return folder;
}
