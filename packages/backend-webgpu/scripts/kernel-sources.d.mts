export interface KernelHash {
  /** The file's name without `.wgsl`. */
  readonly name: string;
  /** Of the file and all pieces it may take. */
  readonly hash: string;
}
export function kernelHashes(): KernelHash[];
