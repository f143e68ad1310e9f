// A volume that needs more time than the real Velero's limit for operations: each night continues where the one before ended, and the
// third one is a backup.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import {
  aFilledVolume,
  assertCompleted,
  assertNothingLeft,
  listOf,
  OVER,
  runOf,
  startWithPlugin,
  untilPhase,
} from './support/velero.ts'

const MIB = 2 ** 20
const DATA_MIB = 96
/** What `DORMOUSE_MEMORY_MIB` leaves room for. */
const PACK_MIB = 4
const PACKS = DATA_MIB / PACK_MIB
/** How many packs are stored in a night, before the store stops until the upload is told to stop. */
const PER_NIGHT = 4
/** Bytes that a night may lose: packs under way when it ends, and objects other than data. */
const LOST_BYTES = 8 * MIB

const nights = suite('a backup of several nights of Velero')
let environment: Environment
let volume: Volume

nights.before(async () => {
  environment = await startWithPlugin({ env: { DORMOUSE_MEMORY_MIB: '256' } })
  // The first backup of a repository may come before the repository exists: a time limit of five minutes leaves no room for another attempt.
  await aFilledVolume(environment, 'small', 'data')
  await environment.velero('backup', 'create', 'before', '--include-namespaces', 'small', '--wait')
  volume = await environment.createVolume({ namespace: 'large', name: 'archive', sizeBytes: 2 * DATA_MIB * MIB })
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('archive', DATA_MIB * MIB) }])
})
nights.after(async () => {
  await environment?.stop()
})

/**
 * Packs beyond `most` wait until the upload function has read that it is to stop. `end` returns what was sent.
 */
function slowStore(most: number) {
  const { plan } = environment.parts.faults!
  const { promise: told, resolve: tell } = Promise.withResolvers<void>()
  const { promise: isFull, resolve: fill } = Promise.withResolvers<void>()
  const sent = { packs: 0, bytes: 0 }
  const asked = { snapshot: false, upload: false }
  const packs = plan.add({
    match: 'upload mover: PUT packs/',
    server: 's3',
    times: Number.POSITIVE_INFINITY,
    before: async ({ headers }) => {
      sent.bytes += Number(headers['content-length'])
      if (++sent.packs <= most) return
      fill()
      await told
    },
  })
  // Velero's plugin cancels the Snapshot, whose function cancels the Upload; the mover's function reads both.
  const rules = [packs]
  for (const [of, match] of [
    ['snapshot', /^velero: PATCH snapshots step=/],
    ['upload', /^snapshot: PATCH uploads/],
  ] as const) {
    const ask = () => {
      asked[of] = true
    }
    const heard = {
      match: `upload: GET ${of}s`,
      where: () => asked[of],
      after: () => tell(),
      times: Number.POSITIVE_INFINITY,
    }
    // However slow the machine is, Velero's time is over only when so much has been stored.
    rules.push(plan.add({ match, server: 'kubernetes', before: () => isFull, after: ask }))
    rules.push(plan.add({ ...heard, server: 'kubernetes' }))
  }
  const end = () => {
    fill()
    tell()
    for (const rule of rules) rule.remove()
    return sent
  }
  return { end }
}

/** `why`: Velero's validation errors of the Backup itself. */
type Night = { phase: string; why: unknown; packs: number; bytes: number }

/** Velero checks the bucket once a minute, and accepts no Backup after a check that failed. */
async function untilAvailable(): Promise<void> {
  const isAvailable = async () => {
    const locations = await environment.api.list('velero.io/v1', 'BackupStorageLocation', 'velero')
    return locations.length > 0 && locations.every(({ status }) => status?.phase === 'Available')
  }
  await until('the location is available', isAvailable, 90_000)
}

async function night(name: string, most: number): Promise<Night> {
  await untilAvailable()
  const store = slowStore(most)
  try {
    const limit = ['--item-operation-timeout', most === Number.POSITIVE_INFINITY ? '5m' : '5s']
    await environment.velero('backup', 'create', name, '--include-namespaces', 'large', ...limit)
    const phase = await untilPhase(environment, 'Backup', name, OVER, 60_000)
    const isOver = async () =>
      (await listOf(environment, 'Upload')).every(({ metadata }) => metadata.labels?.['dormouse.dev/step'] === 'done')
    await until('the upload is over', isOver, 30_000)
    const why = (await runOf(environment, 'Backup', name))?.['status'].validationErrors
    return { phase, why, ...store.end() }
  } finally {
    store.end()
  }
}

nights('a volume that needs three times the time limit has a backup after the third night', async () => {
  const first = await night('first', PER_NIGHT)
  const second = await night('second', PER_NIGHT)
  const third = await night('third', Number.POSITIVE_INFINITY)
  const told = JSON.stringify([first, second, third])
  assert.equal([first.phase, second.phase, third.phase], ['PartiallyFailed', 'PartiallyFailed', 'Completed'], told)
  for (const { packs } of [first, second]) assert.ok(packs >= PER_NIGHT && packs < PACKS, told)
  // A busy machine stores more before it sees the cancel; then less is left for the third night, but never all of it.
  assert.ok(third.packs < PACKS - PER_NIGHT, told)
  const sent = first.bytes + second.bytes + third.bytes
  assert.ok(sent >= DATA_MIB * MIB && sent <= DATA_MIB * MIB + 2 * LOST_BYTES, `${sent} bytes: ${told}`)
})

nights(
  'what the nights that ended have stored is in the backup, byte for byte, and nothing of them is left beside',
  async () => {
    const mapping = ['--namespace-mappings', 'large:back']
    await environment.velero('restore', 'create', 'back', '--from-backup', 'third', ...mapping, '--wait')
    await assertCompleted(environment, 'Restore', 'back')
    assert.is(await sha256((await volumeOf(environment, 'back', 'archive')).file), await sha256(volume.file))
    await assertNothingLeft(environment)
  },
)

nights.run()
