import { availableParallelism, totalmem } from "node:os";
import { formatBytes } from "@infllm/tensor";
import { probeBackends, type BackendReport } from "../backends.ts";
import type { Io } from "../io.ts";
import { jsonOption } from "../options.ts";
import type { RegisterCommand } from "../program.ts";
import { wrap } from "../terminal/text.ts";

export const devices: RegisterCommand = (program, io) => {
  program
    .command("devices")
    .description("Show each backend: usable or not, why, and what would make it usable.")
    .addOption(jsonOption())
    .addHelpText("after", "\nExample:\n  infllm devices --json | jq '.backends[] | select(.usable).name'\n")
    .action((options: { json?: true }) => run(options, io));
};

async function run(options: { json?: true }, io: Io): Promise<void> {
  const backends = await probeBackends();
  const machine = {
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
  };
  if (options.json) {
    io.stdout.write(`${JSON.stringify({ machine, backends }, undefined, 2)}\n`);
    return;
  }
  io.stdout.write(
    `${machine.platform}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)} memory, Node ${machine.node}\n\n`,
  );
  const columns = Math.max(40, io.stdout.columns ?? 100);
  io.stdout.write(backends.map((report) => describeBackend(report, columns)).join("\n"));
}

/** A backend's paragraph, no wider than `columns`. */
export function describeBackend(report: BackendReport, columns: number): string {
  const indent = " ".repeat(8);
  const title = `${report.name.padEnd(8)}${report.usable ? "usable" : "not usable"}\n`;
  const lines = report.usable
    ? [report.description ?? "", ...(report.limitations ?? []).map((text) => `Limitation: ${text}`)]
    : [`Why: ${report.reason ?? "unknown"}.`, `To use it: ${report.remedy ?? "unknown"}.`];
  return title + lines.filter((line) => line !== "").map((line) => wrap(line, columns, indent)).join("");
}
