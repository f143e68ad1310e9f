// What to fetch for one page of the map: neighbouring chunks of a pack in one request, each chunk once.

import { KiB, MiB } from '#shared/kernel/units.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'

const MOST_BYTES = 16 * MiB
/** Reading over a gap is cheaper than another request. */
const MOST_GAP_BYTES = 64 * KiB

/** One ranged GET. `targets`: pairs of (entry of `blobs`, chunk of the volume), `first` the lowest of those chunks. */
export type Fetch = {
  pack: string
  offset: number
  lengthBytes: number
  blobs: LocationTable
  targets: Uint32Array
  first: number
}

type Wanted = { location: BlobLocation; chunks: number[] }

/**
 * `first`: the volume's chunk that the page begins with; chunks below `from` are left out. Fetches come in the order of the volume, so
 * that the written part has few gaps at any time.
 */
export function planFetches(map: LocationTable, first: number, from: number, mostBytes: number): Fetch[] {
  const fetches = [...wantedByPack(map, first, from).values()].flatMap((wanted) =>
    runsOf(wanted, Math.min(mostBytes, MOST_BYTES)),
  )
  return fetches.sort((one, other) => one.first - other.first)
}

function wantedByPack(map: LocationTable, first: number, from: number): Map<string, Map<number, Wanted>> {
  const packs = new Map<string, Map<number, Wanted>>()
  for (let slot = from - first; slot < map.length; slot++) {
    const location = map.get(slot)
    if (location === undefined) continue
    let blobs = packs.get(location.pack)
    if (blobs === undefined) {
      blobs = new Map()
      packs.set(location.pack, blobs)
    }
    const wanted = blobs.get(location.offset)
    if (wanted === undefined) blobs.set(location.offset, { location, chunks: [first + slot] })
    else wanted.chunks.push(first + slot)
  }
  return packs
}

function runsOf(blobs: Map<number, Wanted>, mostBytes: number): Fetch[] {
  const sorted = [...blobs.values()].sort((a, b) => a.location.offset - b.location.offset)
  const runs: Wanted[][] = []
  let start = 0
  let end = 0
  for (const wanted of sorted) {
    const { offset, storedBytes } = wanted.location
    const run = runs.at(-1)
    if (run !== undefined && offset - end <= MOST_GAP_BYTES && offset + storedBytes - start <= mostBytes) {
      run.push(wanted)
    } else {
      runs.push([wanted])
      start = offset
    }
    end = offset + storedBytes
  }
  return runs.map(toFetch)
}

function toFetch(run: Wanted[]): Fetch {
  const locations = run.map(({ location }) => location)
  const [firstBlob] = locations
  const lastBlob = locations.at(-1)
  if (firstBlob === undefined || lastBlob === undefined) throw new Error('an empty run was planned')
  return {
    pack: firstBlob.pack,
    offset: firstBlob.offset,
    lengthBytes: lastBlob.offset + lastBlob.storedBytes - firstBlob.offset,
    blobs: LocationTable.from(locations),
    targets: Uint32Array.from(run.flatMap(({ chunks }, blob) => chunks.flatMap((chunk) => [blob, chunk]))),
    // The chunks of a blob are in order.
    first: Math.min(...run.map(({ chunks: [lowest = 0] }) => lowest)),
  }
}
