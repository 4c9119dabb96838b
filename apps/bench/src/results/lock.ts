/** One run at a time on a results folder. */
import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { NotAvailableError } from "@infllm/tensor";

interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
}

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes the folder for this process. A lock whose process is gone is taken over; one of another host cannot be judged
 * and stays.
 * @throws NotAvailableError naming the holder and the file
 */
export async function lockFolder(folder: string): Promise<Lock> {
  const path = join(folder, ".lock");
  if (!(await create(path))) {
    const holder = await readHolder(path);
    if (holder === undefined || isAlive(holder)) throw inUse(folder, path, holder);
    await rm(path, { force: true });
    if (!(await create(path))) throw inUse(folder, path, await readHolder(path));
  }
  return { release: () => rm(path, { force: true }) };
}

async function create(path: string): Promise<boolean> {
  const holder: Holder = { pid: process.pid, host: hostname(), since: new Date().toISOString() };
  try {
    const file = await open(path, "wx");
    await file.writeFile(`${JSON.stringify(holder)}\n`).finally(() => file.close());
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Undefined for a file that cannot be read as a lock: its writer may be writing it just now. */
async function readHolder(path: string): Promise<Holder | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  try {
    const holder = JSON.parse(text) as Partial<Holder> | null;
    const { pid, host, since } = holder ?? {};
    return typeof pid === "number" && typeof host === "string" && typeof since === "string" ? { pid, host, since } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive({ pid, host }: Holder): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process is there and another user's.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

function inUse(folder: string, path: string, holder: Holder | undefined): NotAvailableError {
  const who = holder === undefined ? "another run" : `process ${holder.pid} on ${holder.host}, since ${holder.since}`;
  return new NotAvailableError(
    `The results folder ${folder} is in use by ${who}. Wait for its end, or give another folder with --results. ` +
      `If no run is left, delete ${path}.`,
  );
}
