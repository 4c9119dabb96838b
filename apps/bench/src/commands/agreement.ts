import { selectionProbe } from "@infllm/attention/measure";
import { blockBudget, sparseConfig } from "@infllm/block-selection";
import { integer, openBackend, readText, type ModelBackend, type RegisterCommand } from "@infllm/command";
import { inspectModel, loadModel, type ModelDescription } from "@infllm/model";
import { Option } from "commander";
import { compareDistributions } from "../agreement/distributions.ts";
import { choosingPairs, SelectionFigures } from "../agreement/selections.ts";
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
import { addTaskOptions, lengthsOption } from "./task-options.ts";

export interface AgreementOptions {
  readonly model: string;
  readonly methods?: readonly string[] | undefined;
  readonly lengths: readonly number[];
  readonly texts: number;
  readonly positions: number;
  readonly pairs: number;
  readonly text?: string;
  readonly backend: string;
  readonly threads?: number;
}

const help = `
Needs no labels and works for any model: on passages of a book, how far the next-token distributions of a method are from
full attention's (KL divergence, equal most likely tokens), how much of the dense attention the selected blocks hold, by
layer and head, and how much neighbouring queries, and the exact and approximate LSE, select alike.

Example:
  infllm-bench agreement --model ./MiniCPM4-0.5B --lengths 8192,16384 --methods infllm-v2,infllm-v2-exact
`;

export const agreement: RegisterCommand = (program, io) => {
  const whole = (flag: string, text: string, byDefault: number): Option => new Option(flag, text).argParser(integer({ min: 1, max: 1_000_000 })).default(byDefault);
  const command = program
    .command("agreement")
    .description("Compare sparse with dense attention on any model, without labels.")
    .addOption(lengthsOption([4096, 8192, 16_384], "tokens of each passage"))
    .addOption(whole("--texts <count>", "passages of each length", 1))
    .addOption(whole("--positions <count>", "positions of each passage whose distributions are compared", 256))
    .addOption(whole("--pairs <count>", "pairs of neighbouring queries whose selections are looked at", 32))
    .option("--text <file>", "text to take passages from (default: a public-domain book)");
  addTaskOptions(command)
    .addHelpText("after", help)
    .action((options: AgreementOptions & RunFlags) => inSession(options, io, (session) => measureAgreement(session, options)));
};

export async function measureAgreement(session: Session, options: AgreementOptions): Promise<void> {
  const description = await inspectModel(options.model, { signal: session.io.interrupts.signal });
  requireLengths(options.lengths, description.trainedContext);
  const labels = (options.methods ?? (await usualMethods(options.model))).filter((label) => label !== "full");
  const all = chooseMethods(labels, methodDefaults(description));
  // Other weights disagree with these for reasons that are not attention's; they are compared only when asked for.
  const choices = all.filter((choice) => options.methods !== undefined || methodModel(options.model, choice) === options.model);
  const [full] = chooseMethods(["full"]);
  if (full === undefined) throw new Error("There is no full attention.");
  const backend = await openBackend(options.backend, { threads: options.threads });
  const contextLength = Math.max(...options.lengths);
  const shared = { backend, contextLength, source: (choice: (typeof choices)[number]) => methodModel(options.model, choice) };
  const [reference, others] = [new MethodModels(shared), new MethodModels(shared)];
  const { lengths, positions } = options;
  const passages = new Passages({ texts: options.texts, seed: session.seed, text: options.text === undefined ? undefined : await readText(options.text) });
  try {
    const cells = [
      ...choices.flatMap((choice) =>
        lengths.map((length): Cell => ({
          cell: { measure: "distributions", length, method: choice.label },
          config: { ...passages.config, positions, options: optionsOf(choice) },
          async run(context) {
            const model = await reference.get(full);
            return compareDistributions(model, await others.get(choice), { texts: await passages.of(model, length), positions }, context);
          },
        })),
      ),
      ...selectionCells(description, { ...options, passages, backend, contextLength }),
    ];
    await runPlan(session, { suite: "agreement", timed: false, model: await modelIdentity(options.model), environment: environment(backend), cells, describe });
  } finally {
    await reference.close();
    await others.close();
    await backend.close();
  }
}

interface SelectionPlan extends Pick<AgreementOptions, "model" | "lengths" | "pairs"> {
  readonly passages: Passages;
  readonly backend: ModelBackend;
  readonly contextLength: number;
}

/** Lengths that leave nothing to choose have no cell. */
function selectionCells(description: ModelDescription, { model, lengths, pairs, passages, backend, contextLength }: SelectionPlan): Cell[] {
  const config = description.sparse ?? sparseConfig();
  const choosing = lengths.filter((length) => choosingPairs(length, pairs, config).length > 0);
  return choosing.map((length): Cell => ({
    cell: { measure: "selection", length },
    config: { ...passages.config, pairs, blocks: blockBudget(config), blockSize: config.blockSize },
    async run({ signal, progress }) {
      const wanted = new Set(choosingPairs(length, pairs, config));
      const figures = new SelectionFigures(description.layers, description.heads, config);
      const method = selectionProbe({ config, wants: (position) => wanted.has(position), onSample: figures.add });
      const probed = await loadModel(model, { backend, contextLength, method, signal });
      try {
        const texts = await passages.of(probed, length);
        for (const [index, ids] of texts.entries()) {
          await probed.score(ids, { positions: [ids.length - 1], signal });
          progress("", index + 1, texts.length, "samples");
        }
      } finally {
        await probed.close();
      }
      return figures.figures();
    },
  }));
}

function describe({ kl, sameTop, recall }: Figures): string {
  if (typeof kl === "number" && typeof sameTop === "number") return `KL ${kl.toFixed(4)} nats, same top token ${(100 * sameTop).toFixed(1)} %`;
  const approx = typeof recall === "object" && recall !== null && "approx" in recall ? recall.approx : undefined;
  return typeof approx === "number" ? `selected blocks hold ${(100 * approx).toFixed(1)} % of dense attention` : "";
}
