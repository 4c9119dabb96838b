/**
 * Runs the quality suites in as many processes as there are cores, until all is done or the time is over, and writes one
 * file of result lines a suite. Cells that earlier lines hold are not run again.
 *
 *     main.mjs --program bench.mjs --work DIR --done DIR --out DIR [--seconds 540] [--lengths 1024,2048] [--processes 15]
 */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { jobs, type Job } from "./jobs.ts";
import { Lines } from "./lines.ts";

const started = performance.now();
const { values: flags } = parseArgs({
  options: {
    program: { type: "string" }, work: { type: "string" }, done: { type: "string" }, out: { type: "string" },
    seconds: { type: "string", default: "540" },
    lengths: { type: "string", default: "1024,2048,4096,8192,16384" },
    processes: { type: "string", default: String(Math.max(1, availableParallelism() - 1)) },
  },
});
const { program, work, done, out } = flags;
if (program === undefined || work === undefined || done === undefined || out === undefined) throw new Error("--program, --work, --done and --out are needed.");
const seconds = Number(flags.seconds);
const slots = Number(flags.processes);
const elapsed = (): number => (performance.now() - started) / 1000;

interface Running {
  readonly job: Job;
  readonly child: ChildProcess;
  readonly since: number;
}

const before = new Lines();
before.read(done);
const queue = jobs({
  lengths: flags.lengths.split(",").map(Number),
  mostThreads: Math.max(1, Math.floor(slots / 3)),
  isDone: (suite, part) => before.has(suite, part),
});
const running = new Set<Running>();
/** How long jobs take over what was guessed. */
const pace = { taken: 0, guessed: 0 };
let number = 0;
let broken = 0;
const shownFailures = 5;
console.log(`${queue.length} jobs left, ${before.count} cells done before, ${slots} processes, ${seconds} s`);

function folderOf(index: number): string {
  return join(work as string, "jobs", String(index));
}

function begin(job: Job): void {
  const folder = folderOf(number++);
  mkdirSync(folder, { recursive: true });
  if (job.resumes) before.write(folder, job.suite);
  const log = openSync(`${folder}.log`, "w");
  const args = [program as string, ...job.args, "--threads", String(job.threads), "--results", folder];
  const child = spawn(process.execPath, args, { stdio: ["ignore", log, log] });
  closeSync(log);
  const one: Running = { job, child, since: elapsed() };
  running.add(one);
  child.on("exit", (code) => {
    running.delete(one);
    if (code === 0) {
      pace.taken += (elapsed() - one.since) * job.threads;
      pace.guessed += job.seconds;
    } else if (elapsed() < seconds && ++broken <= shownFailures) console.log(`job ${job.name} ended with ${code}: ${lastWords(`${folder}.log`)}`);
    fill();
  });
}

function lastWords(log: string): string {
  return readFileSync(log, "utf8").trim().slice(-400);
}

/** Starts what fits: into the free processes, and to its first finished cell into the time left. */
function fill(): void {
  const left = seconds - elapsed();
  const slower = pace.guessed > 100 ? pace.taken / pace.guessed : 1;
  for (let at = 0; at < queue.length; ) {
    const free = slots - [...running].reduce((sum, { job }) => sum + job.threads, 0);
    if (free < 1) return;
    const job = queue[at];
    if (job === undefined || job.threads > free || (job.firstCell * slower) / job.threads > left) {
      at++;
      continue;
    }
    queue.splice(at, 1);
    begin(job);
  }
  if (running.size === 0) finish();
}

let finished = false;
function finish(): void {
  if (finished) return;
  finished = true;
  for (const { child } of running) child.kill("SIGKILL");
  const lines = new Lines();
  lines.read(done as string);
  for (let index = 0; index < number; index++) lines.read(folderOf(index));
  lines.write(out as string);
  const words = [
    `${lines.count} finished cells in all, ${lines.count - before.count} of this run; ${broken} jobs failed, ${queue.length} not begun, ${running.size} stopped; ${elapsed().toFixed(0)} s`,
    `jobs took ${(pace.taken / Math.max(1, pace.guessed)).toFixed(2)} times what was guessed`,
    ...lines.failures.map((failure) => `failed: ${failure}`),
  ];
  console.log(words.join("\n"));
  writeFileSync(join(out as string, "log.txt"), `${words.join("\n")}\n`);
  process.exit(0);
}

rmSync(join(work, "jobs"), { recursive: true, force: true });
setTimeout(finish, Math.max(0, seconds - elapsed()) * 1000);
setInterval(() => console.log(`${elapsed().toFixed(0)} s: ${number - running.size} jobs ended, ${running.size} running, ${queue.length} waiting`), 30_000).unref();
fill();
