// A virtual disk that is open in one thread. VDDK is the real implementation; a file and a memory buffer pass the same contract.

export type Extent = { offsetBytes: number; lengthBytes: number }

/** One open disk, owned by one thread, synchronous: every call blocks its thread. Offsets and lengths are multiples of 512. */
export interface Disk {
  readonly capacityBytes: number
  read(offsetBytes: number, into: Uint8Array): void
  write(offsetBytes: number, from: Uint8Array): void
  /** When this returns, everything that was written before is durable. */
  flush(): void
  /** Allocated runs inside the range, ascending, clipped to it. undefined: the store cannot tell (the caller reads everything). */
  allocated(offsetBytes: number, lengthBytes: number): Extent[] | undefined
  close(): void
}
