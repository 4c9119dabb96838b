import { jsonOption, type RegisterCommand } from "@infllm/command";
import { cpuSuite } from "../cpu/suite.ts";
import { table } from "../report.ts";
import { environment } from "../results/environment.ts";
import { webgpuSuite } from "../webgpu/suite.ts";

interface Options {
  readonly quick?: true;
  readonly json?: true;
}

/** Suites that print figures beside what the project promises, and keep nothing. */
const suites = { cpu: cpuSuite, webgpu: webgpuSuite } as const;

export const promises: RegisterCommand = (program, io) => {
  for (const [name, suite] of Object.entries(suites)) {
    program
      .command(name)
      .description(`Hold the ${name} backend against what the project promises of it.`)
      .option("--quick", "fewer rounds, smaller shapes, a 4k prompt instead of 16k")
      .addOption(jsonOption())
      .addHelpText("after", `\nClose other programs first: two threads on two busy cores measure the other programs.\n\nExample:\n  infllm-bench ${name} --quick\n`)
      .action(async (options: Options) => {
        const { cpu, cores, node } = environment();
        const machine = `${cpu}, ${cores} cores, Node ${node}`;
        const results = await suite({ quick: options.quick === true, progress: (text) => io.stderr.write(`… ${text}\n`) });
        io.stdout.write(options.json ? `${JSON.stringify({ suite: name, machine, results }, undefined, 2)}\n` : `${machine}\n\n${table(results)}\n`);
      });
  }
};
