/** `npm run bench -- cpu|webgpu [--quick] [--json]` */
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { cpuSuite } from "./cpu/suite.ts";
import { table } from "./report.ts";
import { webgpuSuite } from "./webgpu/suite.ts";

const suites = { cpu: cpuSuite, webgpu: webgpuSuite } as const;
const usage = `Usage: npm run bench -- <suite> [--quick] [--json]
Suites: ${Object.keys(suites).join(", ")}
  --quick  fewer rounds, smaller shapes, a 4k prompt instead of 16k
  --json   the results as JSON
Close other programs first: two threads on two busy cores measure the other programs.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: "boolean", default: false }, json: { type: "boolean", default: false }, help: { type: "boolean" } },
  });
  const [name, ...more] = positionals;
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (name === undefined || !(name in suites) || more.length > 0) {
    console.error(usage);
    return 2;
  }
  const machine = `${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${availableParallelism()} cores, Node ${process.version}`;
  const results = await suites[name as keyof typeof suites]({ quick: values.quick, progress: (text) => console.error(`… ${text}`) });
  console.log(values.json ? JSON.stringify({ suite: name, machine, results }, undefined, 2) : `${machine}\n\n${table(results)}`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  const wrongUsage = error instanceof TypeError && "code" in error;
  console.error(wrongUsage ? `${error.message}\n\n${usage}` : error);
  process.exitCode = wrongUsage ? 2 : 1;
}
