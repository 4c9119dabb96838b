import { BadUsageError, count, decimal, integerList, largestLength, table, type Io, type RegisterCommand } from "@infllm/command";
import { Option } from "commander";
import { environment } from "../results/environment.ts";
import type { Figures } from "../results/record.ts";
import type { Cell } from "../results/run-cells.ts";
import { comparisons } from "../roofline/compare.ts";
import { measuredHardware, presetNamed, presetNames, type Hardware } from "../roofline/hardware.ts";
import { predict, type Phase } from "../roofline/predict.ts";
import { seconds } from "../seconds.ts";
import { addRunOptions, inSession, runPlan, type RunFlags, type Session } from "../session.ts";
import { shapeNamed, shapeNames } from "../shapes.ts";
import { namesOption } from "./task-options.ts";

export interface RooflineOptions {
  readonly hardware: readonly string[];
  readonly flops?: number;
  readonly bandwidth?: number;
  readonly shape: readonly string[];
  readonly lengths: readonly number[];
}

const help = `
The least time of every op: its work over FLOP/s or its bytes over bandwidth, whichever is longer. "measured" takes both
from what infllm-bench kernels found on this machine, and prints how far its ops are from that.

Examples:
  infllm-bench roofline --hardware h100,h200 --shape minicpm4-8b
  infllm-bench roofline --flops 40e9 --bandwidth 10e9 --shape embedded
`;

export const roofline: RegisterCommand = (program, io) => {
  const command = program
    .command("roofline")
    .description("Predict the time of every op from a machine's figures and a model's shape, dense and sparse, to 1M tokens.")
    .addOption(namesOption("--hardware <list>", `any of ${presetNames.join(", ")}, measured`).default(["h100", "measured"]))
    .addOption(new Option("--flops <number>", "FLOP/s of another machine, with --bandwidth").argParser(decimal({ min: 1, max: 1e21 })))
    .addOption(new Option("--bandwidth <number>", "bytes per second of another machine, with --flops").argParser(decimal({ min: 1, max: 1e18 })))
    .addOption(namesOption("--shape <list>", `any of ${shapeNames.join(", ")}`).default(["minicpm4-8b", "embedded"]))
    .addOption(
      new Option("--lengths <list>", "tokens").argParser(integerList({ min: 1, max: largestLength })).default([4096, 16_384, 65_536, 262_144, 1_048_576]),
    )
    .addHelpText("after", help);
  addRunOptions(command).action((options: RooflineOptions & RunFlags) => inSession(options, io, (session) => predictAll(session, options)));
};

export async function predictAll(session: Session, options: RooflineOptions): Promise<void> {
  const { io, folder } = session;
  const machines = machinesOf(options, session);
  const cells = machines.flatMap((hardware) =>
    options.shape.flatMap((shape) => (["prefill", "decode"] as const).flatMap((phase) => options.lengths.map((length) => predictionCell(hardware, shape, phase, length)))),
  );
  await runPlan(session, { suite: "roofline", timed: false, environment: environment(), cells, describe });
  printComparisons(comparisons(folder.records), io);
}

/** @throws BadUsageError for an unknown name, or half of another machine's figures */
function machinesOf({ hardware, flops, bandwidth }: RooflineOptions, { folder, io }: Session): Hardware[] {
  if ((flops === undefined) !== (bandwidth === undefined)) throw new BadUsageError("--flops and --bandwidth go together: a roofline has both.");
  if (flops !== undefined && bandwidth !== undefined) {
    return [{ ...presetNamed("h100"), name: `${flops.toPrecision(3)} FLOP/s, ${bandwidth.toPrecision(3)} B/s`, flops, bandwidth }];
  }
  const measured = [...measuredHardware(folder.records).values()];
  if (hardware.includes("measured") && measured.length === 0) {
    io.stderr.write(`roofline: ${folder.path} has no measured ceilings yet; infllm-bench kernels measures them\n`);
  }
  return hardware.flatMap((name) => (name === "measured" ? measured : [presetNamed(name)]));
}

function predictionCell(hardware: Hardware, shape: string, phase: Phase, length: number): Cell {
  return {
    cell: { hardware: hardware.name, shape, phase, length },
    config: { flops: hardware.flops, bandwidth: hardware.bandwidth },
    run: async () => {
      const { ops, dense, sparse } = predict(shapeNamed(shape), hardware, phase, length);
      return { ops: { ...ops }, dense, sparse, speedup: dense / sparse };
    },
  };
}

function describe({ dense, sparse, speedup }: Figures): string {
  const time = (value: unknown): string => (typeof value === "number" ? seconds(value) : "–");
  return `dense ${time(dense)}, sparse ${time(sparse)}${typeof speedup === "number" ? `, ${speedup.toFixed(2)}x` : ""}`;
}

function printComparisons(found: ReturnType<typeof comparisons>, io: Io): void {
  if (found.length === 0) return;
  const rows = found.map(({ what, length, measured, predicted }) => [
    what, count(length), seconds(measured), seconds(predicted), `${(measured / predicted).toFixed(1)}x`,
  ]);
  io.stdout.write(`\nMeasured over predicted, one layer:\n${table([["", "tokens", "measured", "predicted", ""], ...rows])}`);
}
