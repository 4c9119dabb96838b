export { attentionPaths, describePaths } from "./attention-paths.ts";
export { openBackend, probeBackends, backendNames } from "./backends.ts";
export type { BackendEntry, BackendOptions, BackendReport, Hardware, ModelBackend } from "./backends.ts";
export { BadUsageError, InterruptedError, exitCodes, usageErrors } from "./exit-codes.ts";
export { assertWritable, explainFileError, readText, writeBytes } from "./files.ts";
export { InterruptHandler } from "./interrupts.ts";
export { breathe, readAll, throwIfInterrupted } from "./io.ts";
export type { Input, Interrupts, Io, Output } from "./io.ts";
export {
  backendOption,
  decimal,
  integer,
  integerList,
  jsonOption,
  kvCacheOption,
  largestLength,
  modelOption,
  threadsOption,
} from "./options.ts";
export { runProcess } from "./process.ts";
export { run } from "./program.ts";
export type { ProgramInfo, RegisterCommand } from "./program.ts";
export { addSparseOptions, checkOverrides, sparseOverrides } from "./sparse-options.ts";
export type { SparseOptions } from "./sparse-options.ts";
export { addThinkingOptions, thinkingTemplate } from "./thinking-option.ts";
export type { ThinkingOptions } from "./thinking-option.ts";
export { Progress, progressLine } from "./terminal/progress.ts";
export type { Unit } from "./terminal/progress.ts";
export { count, duration, rate, table, wrap } from "./terminal/text.ts";
export { showLoading, useModel } from "./use-model.ts";
export type { UseModelOptions } from "./use-model.ts";
