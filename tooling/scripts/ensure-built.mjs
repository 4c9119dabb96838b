/**
 * Set-up that costs nothing when there is nothing to do: dependencies are installed when the lockfile changed since
 * the last time, packages are built when a source is newer than the last build. Progress goes to stderr, so that
 * the standard output of a command run through these scripts stays its own.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pnpm, root } from "./pnpm.mjs";
import { neededBy } from "./workspace.mjs";

const toStderr = { stdio: ["ignore", 2, 2] };
const stampFolder = join(root, "node_modules", ".infllm");
const installStamp = join(stampFolder, "installed");

export function setUp() {
  requireNode();
  install();
  build();
}

/** Set-up for a command that only runs what is built: the package `name` and what it can use. */
export function ensureBuilt(name) {
  requireNode();
  if (!installed()) install();
  const stamp = join(stampFolder, `built-${name.replace("/", "-")}`);
  if (built(name, stamp)) return;
  const started = new Date();
  // One by one: a filter of `name...` would build what only its tests need, too.
  build(...neededBy(name).map(({ manifest }) => `--filter=${manifest.name}`));
  writeFileSync(stamp, "");
  utimesSync(stamp, started, started);
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`infllm needs Node 20.19 or newer; this is Node ${process.versions.node}. Install a newer one from https://nodejs.org.`);
  process.exit(2);
}

function lockfileHash() {
  return createHash("sha256").update(readFileSync(join(root, "pnpm-lock.yaml"))).digest("hex");
}

function installed() {
  return existsSync(installStamp) && readFileSync(installStamp, "utf8") === lockfileHash();
}

function install() {
  console.error("infllm: installing dependencies");
  pnpm(["install", "--frozen-lockfile", "--ignore-scripts", "--reporter=append-only"], toStderr);
  mkdirSync(stampFolder, { recursive: true });
  writeFileSync(installStamp, lockfileHash());
}

function build(...filters) {
  console.error("infllm: building packages");
  pnpm(["exec", "turbo", "run", "build", ...filters, "--output-logs=errors-only", "--log-order=grouped"], {
    ...toStderr,
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" },
  });
}

function built(name, stamp) {
  if (!existsSync(stamp)) return false;
  const since = statSync(stamp).mtimeMs;
  return neededBy(name).every(({ folder }) => existsSync(join(folder, "dist")) && !newerThan(folder, since));
}

function newerThan(path, since) {
  const stats = statSync(path);
  if (!stats.isDirectory()) return stats.mtimeMs > since;
  return readdirSync(path)
    .filter((name) => !["node_modules", "dist", "generated", ".turbo", "test"].includes(name))
    .some((name) => newerThan(join(path, name), since));
}
