// Peak memory of a transfer, function and mover together, stays in its budget: for 1 GiB of data and for 200 GiB of mostly holes.

import { open } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { backUp, claimRepository, restore } from '#test/environment/main-job.ts'
import { allocatedBytes, noise, type Piece, prose, writePieces } from '#test/environment/storage/content.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30
/** DORMOUSE_MEMORY_MIB; the tests check its default. */
const BUDGET_BYTES = 384 * MIB
const TIMEOUT_MS = 10 * 60_000
const HEAVY = ['dormouse-upload', 'dormouse-download']

const memory = suite('peak memory')
let environment: Environment
let repository: string

memory.before(async () => {
  environment = await startEnvironment()
  repository = await claimRepository(environment)
})
memory.after(async () => {
  await environment.stop()
})

/** Backs the volume up, restores it, compares every piece, and reports the peaks of both functions. */
async function roundTrip(name: string, sizeBytes: number, pieces: Piece[]): Promise<Map<string, number>> {
  const volume = await environment.createVolume({ namespace: 'shop', name, sizeBytes })
  await writePieces(volume.file, pieces)
  const sampler = environment.sampleMemory(HEAVY)
  const backup = await backUp(environment, { namespace: 'shop', name }, repository, { timeoutMs: TIMEOUT_MS })
  const restored = await restore(environment, backup, `${name}-copy`, { timeoutMs: TIMEOUT_MS })
  sampler.stop()
  await assertEqual(restored.volume.file, pieces)
  const written = await allocatedBytes(restored.volume.file)
  const source = await allocatedBytes(volume.file)
  assert.ok(written <= source + MIB, `holes stay holes: ${written} bytes written, the source has ${source}`)
  return new Map(HEAVY.map((step) => [step, sampler.peak(step).bytes]))
}

async function assertEqual(file: string, pieces: Piece[]): Promise<void> {
  const handle = await open(file)
  try {
    for (const { offsetBytes, data } of pieces) {
      const found = Buffer.alloc(data.length)
      await handle.read(found, 0, data.length, offsetBytes)
      assert.ok(found.equals(data), `the piece at ${offsetBytes} is restored`)
    }
  } finally {
    await handle.close()
  }
}

function assertWithin(peaks: Map<string, number>): void {
  for (const step of HEAVY) {
    const bytes = peaks.get(step) ?? 0
    assert.ok(bytes > 50 * MIB, `${step} was measured: ${bytes} bytes`)
    assert.ok(bytes <= BUDGET_BYTES, `${step} takes ${Math.round(bytes / MIB)} MiB, more than ${BUDGET_BYTES / MIB}`)
    console.log(`  ${step}: ${Math.round(bytes / MIB)} MiB at its peak`)
  }
}

memory('1 GiB with 700 MiB of data moves within the budget', async () => {
  const half: Piece[] = Array.from({ length: 7 }, (_, index) => ({
    offsetBytes: index * 140 * MIB,
    data: index % 2 === 0 ? noise(`n${index}`, 100 * MIB) : prose(`p${index}`, 100 * MIB),
  }))
  assertWithin(await roundTrip('one-gib', GIB, half))
})

memory('row 59: 200 GiB of mostly holes moves within the budget, byte for byte', async () => {
  const spread: Piece[] = Array.from({ length: 64 }, (_, index) => ({
    offsetBytes: index * 3 * GIB + index * 5 * MIB,
    data: noise(`s${index}`, 3 * MIB),
  }))
  const last: Piece = { offsetBytes: 200 * GIB - 4096, data: noise('end', 4096) }
  assertWithin(await roundTrip('two-hundred-gib', 200 * GIB, [...spread, last]))
})

memory.run()
