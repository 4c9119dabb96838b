import { join } from "node:path";
import { backendOption, duration, threadsOption, type RegisterCommand } from "@infllm/command";
import { NotAvailableError } from "@infllm/tensor";
import { loadNodeLlama } from "../e2e/node-llama-cpp.ts";
import { engines, type Engine } from "../e2e/spec.ts";
import { measureTasks } from "../quality/measure-tasks.ts";
import { CellsFailedError } from "../results/run-cells.ts";
import { addRunOptions, inSession, type RunFlags, type Session } from "../session.ts";
import { families, selectTasks } from "../tasks/registry.ts";
import { measureAgreement } from "./agreement.ts";
import { measureE2e } from "./e2e.ts";
import { measureKernels } from "./kernels.ts";
import { measurePerplexity } from "./perplexity.ts";
import { writeReport } from "./report.ts";
import { predictAll } from "./roofline.ts";

interface Flags extends RunFlags {
  readonly backend: string;
  readonly threads?: number;
  readonly out?: string;
}

type Step = readonly [name: string, run: (session: Session, flags: Flags) => Promise<void>];

const model = "embedded";
/** Long enough that sparse attention must choose: it sees 1,536 tokens. */
const chosen = 3072;
const two = ["full", "infllm-v2"] as const;
const data = { kind: "fixture" } as const;

/** Every subcommand, as small as it still says something. */
const steps: readonly Step[] = [
  ["kernels", (session, { backend, threads }) =>
    measureKernels(session, { shape: model, lengths: [2048, 8192], lse: "both", rows: 64, rounds: 5, product: 512, copyMib: 64, backend, ...(threads && { threads }) })],
  ["e2e", async (session, { backend, threads }) =>
    measureE2e(session, { model, weights: "f16", engines: await installedEngines(session), lengths: [1024, chosen], decode: 16, runs: 1, backend, ...(threads && { threads }) })],
  ["roofline", (session) => predictAll(session, { hardware: ["h100", "measured"], shape: ["minicpm4-8b", model], lengths: [4096, 16_384, 65_536, 262_144, 1_048_576] })],
  ["ruler", (session, { backend, threads }) =>
    measureTasks(session, "ruler", selectTasks(["niah_single_2", "niah_multikey_1", "vt"]), { model, data, style: "tiny", samples: 1, lengths: [1024, chosen], backend, threads })],
  ["needle", (session, { backend, threads }) =>
    measureTasks(session, "needle", selectTasks(["needle"]), { model, data, methods: two, style: "tiny", samples: 11, lengths: [512, 2048], backend, threads })],
  ["perplexity", (session, { backend, threads }) => measurePerplexity(session, { model, lengths: [chosen], texts: 1, backend, ...(threads && { threads }) })],
  ["agreement", (session, { backend, threads }) =>
    measureAgreement(session, { model, lengths: [chosen], texts: 1, positions: 64, pairs: 8, backend, ...(threads && { threads }) })],
  ["longbench", (session, { backend, threads }) =>
    measureTasks(session, "longbench", selectTasks(["longbench"]), { model, data, methods: two, samples: 1, lengths: [chosen], maxAnswer: 32, backend, threads })],
  ["reasoning", (session, { backend, threads }) =>
    measureTasks(session, "reasoning", selectTasks(families.filter((family) => ["knowledge", "reasoning", "code"].includes(family))), {
      model, data, methods: ["full"], samples: 1, maxAnswer: 32, backend, threads,
    })],
];

const help = `
Runs ${steps.map(([name]) => name).join(", ")} on the embedded model with few samples, then writes the report: about
six minutes on two cores that do nothing else. It shows that everything works; the figures of so few samples decide nothing.

Example:
  infllm-bench quick --results quick
`;

export const quick: RegisterCommand = (program, io) => {
  const command = program
    .command("quick")
    .description("Run every measurement on the embedded model within ten minutes, and write the report.")
    .option("--out <file>", "page to write (default: report.html in the results folder)")
    .addOption(backendOption())
    .addOption(threadsOption())
    .addHelpText("after", help);
  addRunOptions(command).action((flags: Flags) =>
    inSession(flags, io, async (session) => {
      const started = performance.now();
      const failures: string[] = [];
      for (const [, run] of steps) {
        await run(session, flags).catch((error: unknown) => {
          // What failed is in the results; the other measurements and the report go on.
          if (!(error instanceof CellsFailedError)) throw error;
          failures.push(error.message);
        });
      }
      await writeReport(flags.results, flags.out ?? join(flags.results, "report.html"), io);
      io.stdout.write(`in ${duration((performance.now() - started) / 1000)}\n`);
      if (failures.length > 0) throw new CellsFailedError(failures.join("\n"));
    }),
  );
};

/** Without node-llama-cpp there is nothing to stand beside, which is no reason to stop. */
async function installedEngines({ io }: Session): Promise<readonly Engine[]> {
  try {
    await loadNodeLlama();
    return engines;
  } catch (error) {
    if (!(error instanceof NotAvailableError)) throw error;
    io.stderr.write("e2e: node-llama-cpp is not installed, so it is left out\n");
    return ["infllm"];
  }
}
