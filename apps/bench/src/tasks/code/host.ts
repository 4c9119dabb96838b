/** What the machine offers to run programs with, found once. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Command and arguments that start what follows without network and in its own process namespace. */
export type Isolation = readonly string[];

const namespaces: Isolation = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child=SIGKILL"];

let python: Promise<string | undefined> | undefined;
let isolation: Promise<Isolation | undefined> | undefined;
let limits: Promise<boolean> | undefined;

/** Path of the interpreter that `python3` starts; undefined without one. */
export function findPython(): Promise<string | undefined> {
  return (python ??= outputOf("python3", ["-I", "-c", "import sys; print(sys.executable)"]));
}

/** Namespaces, where the system allows them to this user. */
export function findIsolation(): Promise<Isolation | undefined> {
  return (isolation ??= works(namespaces));
}

/** Whether the shell can limit address space and processor time: on Linux it can, on macOS not all of it. */
export function canLimit(): Promise<boolean> {
  return (limits ??= outputOf("sh", ["-c", "ulimit -v 1048576 && ulimit -t 60 && echo ready"]).then((output) => output === "ready"));
}

async function works(command: Isolation): Promise<Isolation | undefined> {
  const [file = "", ...args] = command;
  return (await outputOf(file, [...args, "echo", "ready"])) === "ready" ? command : undefined;
}

async function outputOf(file: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await execute(file, args, { timeout: 10_000 });
    return stdout.trim() === "" ? undefined : stdout.trim();
  } catch {
    return undefined;
  }
}
