import { BadUsageError, integer, openBackend, readText, type RegisterCommand } from "@infllm/command";
import { inspectModel } from "@infllm/model";
import { Option } from "commander";
import { compareDistributions } from "../agreement/distributions.ts";
import { keptRows } from "../agreement/kept-rows.ts";
import { answerCells, passageCells } from "../agreement/selection-cells.ts";
import { methodDefaults, methodModel, usualMethods } from "../quality/fitting.ts";
import { MethodModels } from "../quality/method-models.ts";
import { requireLengths } from "../quality/measure-tasks.ts";
import { chooseMethods, optionsOf } from "../quality/methods.ts";
import { Passages } from "../quality/passages.ts";
import { environment } from "../results/environment.ts";
import { modelIdentity } from "../results/model-identity.ts";
import type { Figures } from "../results/record.ts";
import type { Cell } from "../results/run-cells.ts";
import { inSession, runPlan, type RunFlags, type Session } from "../session.ts";
import type { GenerationTask } from "../tasks/task.ts";
import { rulerTasks, styleOf } from "./ruler.ts";
import { addTaskOptions, lengthsOption, namesOption, samplesOption } from "./task-options.ts";

/** What the cells of this suite measure. */
const measures = ["distributions", "selection", "answers"] as const;
type Measure = (typeof measures)[number];

export interface AgreementOptions {
  readonly model: string;
  readonly methods?: readonly string[] | undefined;
  readonly lengths: readonly number[];
  readonly texts: number;
  readonly positions: number;
  readonly pairs: number;
  readonly text?: string;
  /** What to measure; all when absent. Answers are those to `tasks`. */
  readonly measures?: readonly Measure[];
  /** Tasks at whose answers selection is looked at; none when absent. */
  readonly tasks?: readonly GenerationTask[];
  /** Of each of these tasks. */
  readonly samples?: number;
  readonly backend: string;
  readonly threads?: number;
}

const help = `
Needs no labels and works for any model: on passages of a book, how far the next-token distributions of a method are from
full attention's (KL divergence, equal most likely tokens), how much of the dense attention the selected blocks hold, by
layer and head, and how much neighbouring queries, and the exact and approximate LSE, select alike. With --tasks also how
much the blocks hold where answers to RULER's tasks are written, which is where sparse attention wins or loses them.

Examples:
  infllm-bench agreement --model ./MiniCPM4-0.5B --lengths 8192,16384 --methods infllm-v2,infllm-v2-exact
  infllm-bench agreement --lengths 8192 --tasks niah_multikey_2,vt
`;

interface Flags extends Omit<AgreementOptions, "tasks" | "measures">, RunFlags {
  readonly measures?: readonly string[];
  readonly tasks?: readonly string[];
}

export const agreement: RegisterCommand = (program, io) => {
  const whole = (flag: string, text: string, byDefault: number): Option => new Option(flag, text).argParser(integer({ min: 1, max: 1_000_000 })).default(byDefault);
  const command = program
    .command("agreement")
    .description("Compare sparse with dense attention on any model, without labels.")
    .addOption(lengthsOption([4096, 8192, 16_384], "tokens of each passage"))
    .addOption(whole("--texts <count>", "passages of each length", 1))
    .addOption(whole("--positions <count>", "positions of each passage whose distributions are compared", 256))
    .addOption(whole("--pairs <count>", "pairs of neighbouring queries whose selections are looked at", 32))
    .option("--text <file>", "text to take passages from (default: a public-domain book)")
    .addOption(namesOption("--measures <list>", `any of ${measures.join(", ")} (default: all)`))
    .addOption(namesOption("--tasks <list>", "RULER's tasks at whose answers selection is looked at, too (default: none)"))
    .addOption(samplesOption(2, "samples of each of these tasks"));
  addTaskOptions(command)
    .addHelpText("after", help)
    .action((flags: Flags) =>
      inSession(flags, io, (session) => {
        const tasks = flags.tasks === undefined ? [] : rulerTasks(flags.tasks, styleOf(flags.model));
        return measureAgreement(session, { ...flags, measures: measuresOf(flags.measures), tasks: tasks.filter((task) => task.kind === "generation") });
      }),
    );
};

export async function measureAgreement(session: Session, options: AgreementOptions): Promise<void> {
  const description = await inspectModel(options.model, { signal: session.io.interrupts.signal });
  requireLengths(options.lengths, description.trainedContext);
  const labels = (options.methods ?? (await usualMethods(options.model))).filter((label) => label !== "full");
  // Other weights disagree with these for reasons that are not attention's; they are compared only when asked for.
  const choices = chooseMethods(labels, methodDefaults(description)).filter((choice) => options.methods !== undefined || methodModel(options.model, choice) === options.model);
  const [full] = chooseMethods(["full"]);
  if (full === undefined) throw new Error("There is no full attention.");
  const backend = await openBackend(options.backend, { threads: options.threads });
  const contextLength = Math.max(...options.lengths);
  const shared = { backend, contextLength, source: (choice: (typeof choices)[number]) => methodModel(options.model, choice) };
  const [reference, others] = [new MethodModels(shared), new MethodModels(shared)];
  const { lengths, positions, tasks = [], samples = 1 } = options;
  const plan = { ...options, description, backend, contextLength };
  const measured = options.measures ?? measures;
  const rowsOfFull = keptRows(() => reference.get(full));
  const passages = new Passages({ texts: options.texts, seed: session.seed, text: options.text === undefined ? undefined : await readText(options.text) });
  try {
    const all = [
      ...choices.flatMap((choice) =>
        lengths.map((length): Cell => ({
          cell: { measure: "distributions", length, method: choice.label },
          config: { ...passages.config, positions, options: optionsOf(choice) },
          async run(context) {
            const model = await others.get(choice, context.signal);
            return compareDistributions(rowsOfFull, model, { texts: await passages.of(model, length), positions }, context);
          },
        })),
      ),
      ...passageCells({ ...plan, passages }),
      ...answerCells({ ...plan, samples, seed: session.seed, style: styleOf(options.model) }, tasks),
    ];
    const cells = all.filter(({ cell }) => measured.some((measure) => measure === cell["measure"]));
    await runPlan(session, { suite: "agreement", timed: false, model: await modelIdentity(options.model), environment: environment(backend), cells, describe });
  } finally {
    await reference.close();
    await others.close();
    await backend.close();
  }
}

/** @throws BadUsageError for what is not measured here */
function measuresOf(names: readonly string[] = measures): Measure[] {
  return names.map((name) => {
    const known = measures.find((measure) => measure === name);
    if (known === undefined) throw new BadUsageError(`--measures has "${name}"; it takes ${measures.join(", ")}.`);
    return known;
  });
}

function describe({ kl, sameTop, recall }: Figures): string {
  if (typeof kl === "number" && typeof sameTop === "number") return `KL ${kl.toFixed(4)} nats, same top token ${(100 * sameTop).toFixed(1)} %`;
  const approx = typeof recall === "object" && recall !== null && "approx" in recall ? recall.approx : undefined;
  return typeof approx === "number" ? `selected blocks hold ${(100 * approx).toFixed(1)} % of dense attention` : "";
}
