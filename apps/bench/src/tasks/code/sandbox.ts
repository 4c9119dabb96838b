/**
 * Runs Python programs that a model wrote: in an empty folder that is removed afterwards, with limits on time, memory and
 * output, without network, and with every process that it started killed at the end.
 *
 * Network and processes are cut off by Linux namespaces (`unshare` of util-linux); where these do not work, programs are
 * refused unless the caller allows the network. Programs run as the current user and can read this user's files: on a
 * machine where that matters, run the benchmark in a container.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NotAvailableError, UnsupportedError } from "@infllm/tensor";
import { canLimit, findIsolation, findPython } from "./host.ts";
import type { Isolation } from "./host.ts";

export interface ProgramLimits {
  /** Wall-clock seconds; the processor's time has the same limit. */
  readonly seconds: number;
  /** MiB of address space. */
  readonly memory: number;
}

export interface ProgramOptions extends ProgramLimits {
  readonly stdin?: string;
  readonly allowNetwork?: boolean;
  readonly signal?: AbortSignal;
}

/** How a program ended: by itself with exit code 0 (`done`) or another (`failed`), or stopped by a limit. */
export type ProgramEnd = "done" | "failed" | "out of time" | "too much output";

export interface ProgramResult {
  readonly end: ProgramEnd;
  readonly stdout: string;
  /** The last part only: where Python writes its errors. */
  readonly stderr: string;
}

/** Bytes of standard output after which a program is stopped. */
const mostOutput = 16 * 2 ** 20;
const keptErrors = 4096;
/** Bytes that a program may write to one file. */
const mostFileBytes = 64 * 2 ** 20;

/**
 * @throws NotAvailableError without python3; UnsupportedError where memory cannot be limited, or the network not cut off
 *   and `allowNetwork` is not set; the reason of an aborted `signal`
 */
export async function runPython(source: string, options: ProgramOptions): Promise<ProgramResult> {
  options.signal?.throwIfAborted();
  const [python, isolation, limited] = await Promise.all([findPython(), findIsolation(), canLimit()]);
  if (python === undefined) {
    throw new NotAvailableError("python3 cannot be started, and HumanEval and LiveCodeBench run Python programs. Install Python 3.8 or newer and put it on the PATH.");
  }
  if (!limited) {
    throw new UnsupportedError("Programs cannot be limited in memory here: that takes a shell whose `ulimit -v` works, as on Linux. Run in a Linux container.");
  }
  if (isolation === undefined && options.allowNetwork !== true) {
    throw new UnsupportedError("The network cannot be kept from programs here: that takes Linux with unshare (util-linux) and user namespaces. Run in a container without network, or allow the network for programs explicitly (--allow-network).");
  }
  const folder = await mkdtemp(join(tmpdir(), "infllm-program-"));
  try {
    await writeFile(join(folder, "program.py"), source);
    return await run(commandOf(python, isolation, options), folder, options);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The program under its limits. The shell stays its parent: as first process of its namespace it would ignore signals. */
function commandOf(python: string, isolation: Isolation | undefined, { seconds, memory }: ProgramLimits): string[] {
  const limits = `ulimit -v ${memory * 1024} && ulimit -t ${Math.ceil(seconds)} && ulimit -f ${Math.ceil(mostFileBytes / 512)} && ulimit -c 0 || exit 125`;
  return [...(isolation ?? []), "sh", "-c", `${limits}; "$@"; exit $?`, "sh", python, "-I", "-B", "program.py"];
}

async function run(command: readonly string[], folder: string, options: ProgramOptions): Promise<ProgramResult> {
  const [file = "", ...args] = command;
  const child = spawn(file, args, {
    cwd: folder,
    // Its own process group, so that all of it can be killed.
    detached: true,
    env: { PATH: process.env["PATH"] ?? "", HOME: folder, TMPDIR: folder, LANG: "C.UTF-8", PYTHONHASHSEED: "0" },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let end: ProgramEnd | undefined;
  const stop = (why: ProgramEnd): void => {
    end ??= why;
    killGroup(child);
  };
  const timer = setTimeout(() => stop("out of time"), options.seconds * 1000);
  const abort = (): void => killGroup(child);
  options.signal?.addEventListener("abort", abort);
  const stdout = collect(child, () => stop("too much output"));
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-keptErrors)));
  // A program that ends without reading its input closes the pipe; that is no error.
  child.stdin.on("error", () => undefined).end(options.stdin ?? "");
  try {
    const code = await exitOf(child);
    options.signal?.throwIfAborted();
    return { end: end ?? (code === 0 ? "done" : "failed"), stdout: stdout(), stderr };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", abort);
    killGroup(child);
  }
}

/** Keeps the standard output of a child, up to `mostOutput`. */
function collect(child: ChildProcess, tooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= mostOutput) chunks.push(chunk);
    else tooMuch();
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

/** Exit code when the child has ended and its output is closed; undefined when a signal ended it. */
function exitOf(child: ChildProcess): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    // A process that left the group may hold the pipes open, so the end of the child itself is enough after a moment.
    child.once("exit", (code) => setTimeout(() => resolve(code ?? undefined), 200).unref());
    child.once("close", (code) => resolve(code ?? undefined));
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // The group has ended already.
  }
}
