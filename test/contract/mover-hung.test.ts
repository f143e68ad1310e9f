// The mover as a real child process in which a call of the VDDK stand-in never returns: the transfer ends within its time limit, and the
// next one gets a free mover. Two requests at once get the same child.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { moved } from '#shared/controllers/slice.ts'
import { ABORTS } from '#shared/controllers/work-lease.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { HOUR_MS, KiB, MiB } from '#shared/kernel/units.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { createMover } from '#shared/movers/process/client.ts'
import type { DiskRef, Mover, TransferOptions } from '#shared/ports/mover.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { createMetrics } from '#shared/runtime/metrics.ts'
import { wireTransfers } from '#shared/wiring/mover.ts'
import { buildVddkStandIn, CONNECTION, DATASTORE, DiskFolder, pattern } from '#test/standins/vddk/harness.ts'
import { ABOUT, CHEAP_SCRYPT, factsOf, access as plainAccess, pointOf } from '#test/support/engine-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { folderSettings, folderStore, stores } from '#test/support/stores.ts'

const ENTRY = fileURLToPath(new URL('../../shared/movers/process/main.ts', import.meta.url))
const CAPACITY_BYTES = 4 * MiB
const scratch = mkdtempSync(join(tmpdir(), 'dormouse-hung-'))
const folder = new DiskFolder(join(scratch, 'disks'))
const store = join(scratch, 'repository')
const access = { ...plainAccess, store: folderSettings(store) }
const never = new AbortController().signal
const onProgress = () => {}
const repositories = createRepositories({
  storeOf: () => folderStore(store),
  clock: systemClock,
  chunkBytes: 256 * KiB,
  scrypt: CHEAP_SCRYPT,
  sourceOf: blockSourceOf,
})
let root = ''
let mover: Mover

type Stop = Pick<TransferOptions<never>, 'signal' | 'kill'>

const diskOf = (fcdId: string, snapshotId?: string): DiskRef => ({
  access: { ...CONNECTION, datastoreMoref: DATASTORE },
  fcdId,
  snapshotId,
})

async function upload(stop: Stop, snapshot = 'snap-1') {
  const session = await repositories.newSessionId(access, pointOf(snapshot, 'disk-1'), '1')
  const sizes = { sliceMs: HOUR_MS, capacityBytes: CAPACITY_BYTES, changedAreas: undefined, parentRoot: undefined }
  const said = { about: ABOUT, source: factsOf(snapshot, 'disk-1') }
  const request = { repository: access, disk: diskOf('disk-1', 'snap-1'), session, slice: 1, ...sizes, ...said }
  const outcome = await mover.upload(request, { ...stop, onProgress })
  return { ...outcome, session }
}

async function download(stop: Stop) {
  const request = {
    repository: access,
    disk: diskOf('target'),
    root,
    sliceMs: HOUR_MS,
    nextChunk: 0,
    targetIsZeroed: false,
  }
  return await mover.download(request, { ...stop, onProgress })
}

/** A new mover, with a new record of the stand-in's calls. */
function begin(plan: string[]): void {
  folder.start(plan)
  const env = { ...process.env, ...folder.environment(), NODE_COMPILE_CACHE: join(scratch, 'compiled') }
  const disks = { provider: 'vddk', libDir: scratch, configFile: undefined, transportModes: undefined } as const
  mover = createMover({ entry: ENTRY, env, disks, workers: 1 })
}

const test = suite('a mover that hangs')

test.before(async () => {
  buildVddkStandIn(scratch)
  const parts = [{ offsetBytes: 0, bytes: pattern(CAPACITY_BYTES, 3) }]
  folder.addDisk('disk-1', CAPACITY_BYTES, parts)
  folder.addSnapshot('disk-1', 'snap-1', parts)
  folder.addDisk('target', CAPACITY_BYTES)
  await repositories.ensure(access, undefined)
  begin([])
  root = `roots/${(await upload({ signal: never, kill: never })).session}`
  await mover.close()
})
test.after.each(async () => {
  await mover.close()
})
test.after(() => {
  rmSync(scratch, { recursive: true })
})

const HANGS = 'sleep:3600000'

/** `after`: the call right before it, because the stand-in records a call only when it returns. */
for (const [call, move, after] of [
  ['Open', upload, 'ConnectEx'],
  ['Read', upload, 'Open'],
  ['Close', upload, 'Read'],
  ['Open', download, 'ConnectEx'],
  ['Write', download, 'Open'],
  ['Flush', download, 'Write'],
  ['Close', download, 'Flush'],
] as const) {
  test(`in ${call} of ${move.name}: the end of the request ends it, and the next transfer begins at once`, async () => {
    begin([`${call} 1 ${HANGS}`])
    const abort = new AbortController()
    const bound = Promise.withResolvers<void>()
    const clock = { ...systemClock, sleep: () => bound.promise }
    const lease = { signal: abort.signal, lost: never }
    const snapshot = `hung-${call}-${move.name}`
    const moving = (stop: Stop): Promise<unknown> => (move === upload ? upload(stop, snapshot) : download(stop))
    const ended = reasonOf(moved(clock, lease, moving))
    while (!folder.trace().some((each) => each.call === after)) await sleep(20)
    abort.abort(ABORTS.shutdown)
    bound.resolve()
    assert.is(await ended, 'MoverKilled')
    folder.start([])
    const stop = { signal: never, kill: never }
    const { state } = move === upload ? await upload(stop, `${snapshot}-again`) : await download(stop)
    assert.ok(state === 'sealed' || state === 'done', state)
  })
}

test('two requests at once start a single child, also while the settings are still being read', async () => {
  const cluster = new MemoryCluster({ clock: systemClock })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const deps = { cluster, clock: systemClock, settings: readSettings({}), stores, identity: 'pod-1', log }
  const { mover: configured } = wireTransfers('upload', deps, createMetrics())
  const before = childrenOf(process.pid)
  await Promise.all(['disk-1', 'disk-2'].map((id) => configured.endAccess(diskOf(id), never)))
  assert.is(childrenOf(process.pid).length - before.length, 1)
  await configured.close()
  assert.equal(childrenOf(process.pid), before)
})

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
}

test.run()
