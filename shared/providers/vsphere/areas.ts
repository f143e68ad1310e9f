// Collects the answers about changed areas of one disk into one list that can be trusted, or says why it cannot.

import { mergeExtents } from '#shared/domain/extents.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { Extent } from '#shared/ports/disk.ts'
import type { ChangedPart } from './vslm.ts'

/** For 2 TB disks a few hundred answers are usual; this many mean that the answers never reach the end. */
const MAX_PARTS = 100_000

/**
 * Asks for part after part until the disk's end: a peer once lost the far half of 2 TB disks because this loop was missing
 * (docs/development/vsphere.md#changed-areas). The areas are ascending, merged where they touch, and inside the disk. Throws
 * TerminalError ChangeTrackingLost when the answers contradict themselves, because reading too much is cheap and missing a block is not.
 */
export async function collectChangedAreas(
  capacityBytes: number,
  ask: (startBytes: number) => Promise<ChangedPart>,
): Promise<Extent[]> {
  const found: Extent[] = []
  let nextBytes = 0
  for (let parts = 0; nextBytes < capacityBytes; parts++) {
    if (parts === MAX_PARTS)
      throw changeTrackingLost(`vCenter's answers stop at ${nextBytes} of ${capacityBytes} bytes`)
    const part = await ask(nextBytes)
    const endBytes = part.startBytes + part.lengthBytes
    if (part.startBytes > nextBytes || endBytes <= nextBytes) {
      throw changeTrackingLost(`asked about byte ${nextBytes}, vCenter tells of ${part.startBytes} to ${endBytes}`)
    }
    const wrong = part.areas.find((area) => area.offsetBytes < 0 || area.lengthBytes < 0)
    if (wrong !== undefined) {
      throw changeTrackingLost(`vCenter tells of ${wrong.lengthBytes} changed bytes at ${wrong.offsetBytes}`)
    }
    for (const area of part.areas) found.push(area)
    nextBytes = endBytes
  }
  return mergeExtents(found, capacityBytes)
}

export function changeTrackingLost(why: string, cause?: unknown): TerminalError {
  return new TerminalError('ChangeTrackingLost', `${why}; everything allocated has to be read instead`, { cause })
}
