// The disk in memory keeps the contract of the port.

import { MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { diskSuite, SUITE_CAPACITY_BYTES } from './disk-suite.ts'

diskSuite('disk in memory', async () => {
  const content = new MemoryDiskContent(SUITE_CAPACITY_BYTES)
  return {
    capacityBytes: SUITE_CAPACITY_BYTES,
    open: () => new MemoryDisk(content),
    tellsAllocation: true,
    stop: async () => undefined,
  }
})
