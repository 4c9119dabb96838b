export interface KernelSource {
  /** The file's name without `.cu`. */
  readonly name: string;
  /** Its path. */
  readonly file: string;
  /** Of the file and all it includes. */
  readonly hash: string;
  /** Is it for compute capability 9.0 alone? */
  readonly hopper: boolean;
}
export const kernelFolder: string;
export function kernelSources(): KernelSource[];
export function kernelsNamedIn(file: string): string[];
