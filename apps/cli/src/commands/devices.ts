import { availableParallelism, totalmem } from "node:os";
import {
  attentionPaths,
  type BackendReport,
  describePaths,
  type Hardware,
  type Io,
  jsonOption,
  probeBackends,
  type RegisterCommand,
  wrap,
} from "@infllm/command";
import { inspectModel } from "@infllm/model";
import { formatBytes } from "@infllm/tensor";

export const devices: RegisterCommand = (program, io) => {
  program
    .command("devices")
    .description("Show each backend: usable or not, on what hardware, why not, and what would make it usable.")
    .addOption(jsonOption())
    .addHelpText("after", "\nExample:\n  infllm devices --json | jq '.backends[] | select(.usable).name'\n")
    .action((options: { json?: true }) => run(options, io));
};

async function run(options: { json?: true }, io: Io): Promise<void> {
  const backends = await probeBackends(async (backend) => attentionPaths(backend, await inspectModel("embedded")));
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
  const lines = [...describeHardware(report.hardware), ...(report.usable ? describeUsable(report) : describeObstacles(report))];
  return title + lines.filter((line) => line !== "").map((line) => wrap(line, columns, indent)).join("");
}

function describeUsable({ description = "", paths, limitations = [] }: BackendReport): string[] {
  return [
    description,
    paths ? `The embedded model's attention takes the kernels ${describePaths(paths)}. infllm inspect tells for others.` : "",
    ...limitations.map((text) => `Limitation: ${text}`),
  ];
}

function describeObstacles({ hardware, reason = "unknown", remedy }: BackendReport): string[] {
  const missing = missingFrom(hardware);
  const reasons = missing.length > 0 ? missing : [`${reason}.`];
  return [...reasons.map((text) => `Why: ${text}`), remedy === undefined ? "" : `To use it: ${remedy}.`];
}

function missingFrom(hardware: Hardware | undefined): readonly string[] {
  return [hardware?.missing ?? []].flat();
}

function describeHardware(hardware: Hardware | undefined): string[] {
  if (hardware === undefined) return [];
  if (!("devices" in hardware)) {
    // The other features are for drawing.
    const computing = hardware.features.filter((feature) => /^shader-f16$|subgroup|^timestamp-query$/.test(feature));
    return hardware.adapter === undefined ? [] : [`GPU: ${[hardware.adapter, ...computing].join(", ")}`];
  }
  if (hardware.devices.length === 0) return [];
  const gpus = hardware.devices.map(
    ({ ordinal, name, major, minor, memoryBytes, driverVersion }) =>
      `GPU ${ordinal}: ${name}, compute capability ${major}.${minor}, ${formatBytes(memoryBytes)} memory, driver for CUDA ${driverVersion}`,
  );
  if (hardware.missing.length > 0) return gpus;
  return [...gpus, `Dense products: ${hardware.cublasLt === undefined ? "our own kernels" : `cuBLASLt (${hardware.cublasLt})`}`];
}
