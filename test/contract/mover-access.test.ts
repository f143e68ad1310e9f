// The mover as a real child process with the VDDK stand-in: what a killed mover leaves in vCenter, the next one ends.

import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { HOUR_MS, KiB, MiB } from '#shared/kernel/units.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { createMover } from '#shared/movers/process/client.ts'
import type { FromMover, ToMover } from '#shared/movers/process/protocol.ts'
import type { DiskSettings } from '#shared/movers/process/providers.ts'
import type { DiskRef, Mover, UploadOutcome, UploadRequest } from '#shared/ports/mover.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { buildVddkStandIn, CONNECTION, DATASTORE, DiskFolder, pattern } from '#test/standins/vddk/harness.ts'
import { ABOUT, CHEAP_SCRYPT, factsOf, access as plainAccess, pointOf } from '#test/support/engine-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { folderSettings, folderStore } from '#test/support/stores.ts'

const ENTRY = fileURLToPath(new URL('../../shared/movers/process/main.ts', import.meta.url))
const CAPACITY_BYTES = 8 * MiB
const scratch = mkdtempSync(join(tmpdir(), 'dormouse-access-'))
const folder = new DiskFolder(join(scratch, 'disks'))
const store = join(scratch, 'repository')
const access = { ...plainAccess, store: folderSettings(store) }
const never = new AbortController().signal
const idle = { signal: never, kill: never, onProgress: () => {} }
const movers: Mover[] = []
let attempts = 0

function vddkIn(libDir: string): DiskSettings {
  return { provider: 'vddk', libDir, configFile: undefined, transportModes: undefined }
}

function diskOf(fcdId: string): DiskRef {
  return { access: { ...CONNECTION, datastoreMoref: DATASTORE }, fcdId, snapshotId: 'snap-1' }
}

function aMover(vddkDir = scratch): Mover {
  const env = { ...process.env, ...folder.environment(), NODE_COMPILE_CACHE: join(scratch, 'compiled') }
  const mover = createMover({ entry: ENTRY, env, disks: vddkIn(vddkDir) })
  movers.push(mover)
  return mover
}

async function requestFor(fcdId: string): Promise<UploadRequest> {
  const repositories = createRepositories({
    storeOf: () => folderStore(store),
    clock: systemClock,
    chunkBytes: 256 * KiB,
    scrypt: CHEAP_SCRYPT,
    sourceOf: blockSourceOf,
  })
  await repositories.ensure(access, undefined)
  return {
    repository: access,
    disk: diskOf(fcdId),
    session: await repositories.newSessionId(access, pointOf('snap-1', fcdId), String(++attempts)),
    slice: 1,
    sliceMs: HOUR_MS,
    capacityBytes: CAPACITY_BYTES,
    changedAreas: undefined,
    parentRoot: undefined,
    about: ABOUT,
    source: factsOf('snap-1', fcdId),
  }
}

/** Starts a transfer and waits until the disk is being read; every read takes some time. `plan`: further lines for the stand-in. */
async function startUpload(
  mover: Mover,
  fcdId: string,
  kill = never,
  plan: string[] = [],
): Promise<{ moving: Promise<UploadOutcome> }> {
  folder.start(['Read * sleep:100', ...plan])
  const moving = mover.upload(await requestFor(fcdId), { ...idle, kill })
  moving.catch(() => {}) // each test looks at the rejection itself
  while (!folder.trace().some(({ call }) => call === 'Open')) await sleep(20)
  return { moving }
}

const test = suite('what a mover leaves')

test.before(() => {
  buildVddkStandIn(scratch)
})
test.before.each(() => {
  for (const id of ['disk-1', 'disk-2']) {
    const parts = [{ offsetBytes: 0, bytes: pattern(CAPACITY_BYTES, 3) }]
    folder.addDisk(id, CAPACITY_BYTES, parts)
    folder.addSnapshot(id, 'snap-1', parts)
  }
})
test.after.each(async () => {
  await Promise.all(movers.splice(0).map((mover) => mover.close()))
})
test.after(() => rmSync(scratch, { recursive: true }))

test('a mover that is killed leaves its disk protected, until another mover ends the protection', async () => {
  const kill = new AbortController()
  const { moving } = await startUpload(aMover(), 'disk-1', kill.signal)
  kill.abort()
  assert.is(await reasonOf(moving), 'MoverKilled')
  assert.is(folder.markOf('disk-1'), 'dormouse')
  folder.start([])
  await aMover().endAccess(diskOf('disk-1'), never)
  assert.is(folder.hasMark('disk-1'), false)
})

test('an access is ended while another disk is transferred, which continues; the disk in transfer keeps its own', async () => {
  const mover = aMover()
  folder.leaveMark('disk-2', 'dormouse')
  const { moving } = await startUpload(mover, 'disk-1')
  await Promise.all([mover.endAccess(diskOf('disk-2'), never), mover.endAccess(diskOf('disk-1'), never)])
  assert.equal([folder.hasMark('disk-2'), folder.markOf('disk-1')], [false, 'dormouse'])
  folder.start([])
  assert.is((await moving).state, 'sealed')
  assert.is(folder.hasMark('disk-1'), false)
})

test('a crash of VDDK in a worker ends the transfer with a reason, and the next slice continues', async () => {
  const mover = aMover()
  const request = await requestFor('disk-2')
  folder.start(['Read 3 crash'])
  assert.is(await reasonOf(mover.upload(request, idle)), 'MoverDied')
  folder.start([])
  assert.is((await mover.upload({ ...request, slice: 2 }, idle)).state, 'sealed')
  assert.is(folder.hasMark('disk-2'), false)
})

test('a refusal is reported with its reason, and the mover continues to serve', async () => {
  folder.leaveMark('disk-2', 'someone else')
  folder.start([])
  const mover = aMover()
  assert.is(await reasonOf(mover.endAccess(diskOf('disk-2'), never)), 'VddkInvalidArgument')
  await mover.endAccess(diskOf('disk-1'), never)
  assert.is(folder.markOf('disk-2'), 'someone else')
})

test('a disk is written through one handle, however many threads there are', async () => {
  folder.start([])
  folder.addDisk('target', CAPACITY_BYTES)
  const mover = aMover()
  const request = await requestFor('disk-1')
  assert.is((await mover.upload(request, idle)).state, 'sealed')
  const target = { ...diskOf('target'), snapshotId: undefined }
  const slice = { root: `roots/${request.session}`, sliceMs: HOUR_MS, nextChunk: 0, targetIsZeroed: true }
  assert.is((await mover.download({ repository: access, disk: target, ...slice }, idle)).state, 'done')
})

test('without a VDDK that can be loaded the reason is reported at once', async () => {
  const none = join(scratch, 'none')
  assert.is(await reasonOf(aMover(none).endAccess(diskOf('disk-1'), never)), 'VddkNotFound')
  mkdirSync(none)
  writeFileSync(join(none, 'libvixDiskLib.so.8'), 'no library')
  assert.is(await reasonOf(aMover(none).endAccess(diskOf('disk-1'), never)), 'VddkNotLoadable')
})

/** A library that can be loaded and has none of VDDK's functions. */
function aLibraryOfOthers(name: string): string {
  const vddkDir = join(scratch, name)
  mkdirSync(join(vddkDir, 'lib64'), { recursive: true })
  const library = join(vddkDir, 'lib64', 'libvixDiskLib.so.8')
  execFileSync(process.env['CC'] ?? 'cc', ['-shared', '-fPIC', '-o', library, '-x', 'c', '/dev/null'])
  return vddkDir
}

test('a library that is not VDDK is reported by its name, both for a transfer and for the end of an access', async () => {
  const mover = aMover(aLibraryOfOthers('of-others'))
  assert.is(await reasonOf(mover.endAccess(diskOf('disk-1'), never)), 'VddkNotLoadable')
  assert.is(await reasonOf(mover.upload(await requestFor('disk-1'), idle)), 'VddkNotLoadable')
})

test('a repaired VDDK is used by the next transfer, however soon that comes', async () => {
  const vddkDir = aLibraryOfOthers('put-right')
  const mover = aMover(vddkDir)
  const request = await requestFor('disk-1')
  assert.is(await reasonOf(mover.upload(request, idle)), 'VddkNotLoadable')
  rmSync(join(vddkDir, 'lib64'), { recursive: true })
  buildVddkStandIn(vddkDir)
  folder.start([])
  assert.is((await mover.upload(request, idle)).state, 'sealed')
})

test('a mover that cannot load VDDK answers every request, and ends in order without an unhandled rejection', async () => {
  const vddkDir = aLibraryOfOthers('told')
  const child = fork(ENTRY, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'advanced' })
  const ended = once(child, 'exit')
  const answers: FromMover[] = []
  const errors: Buffer[] = []
  child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk))
  const allAnswered = new Promise<void>((resolve) => {
    child.on('message', (message: FromMover) => {
      if (answers.push(message) === 3) resolve()
    })
  })
  const setup = { disks: vddkIn(vddkDir), memoryMib: 256, workers: 1, bytesPerSecond: undefined }
  const orders: ToMover[] = [
    { type: 'setup', setup },
    { type: 'upload', request: await requestFor('disk-1'), aheadMs: 0 },
    { type: 'endAccess', id: 1, disk: diskOf('disk-1') },
  ]
  for (const order of orders) child.send(order)
  await Promise.race([allAnswered, ended])
  child.send({ type: 'close' } satisfies ToMover)
  assert.equal(await ended, [0, null])
  assert.is(Buffer.concat(errors).toString(), '')
  const told = answers.map((answer) => [answer.type, 'error' in answer ? answer.error?.reason : undefined])
  assert.equal(told.sort(), [
    ['accessEnded', 'VddkNotLoadable'],
    ['failed', 'VddkNotLoadable'],
    ['unusable', 'VddkNotLoadable'],
  ])
})

test('the end of an access rejects when the mover is killed meanwhile', async () => {
  folder.start(['EndAccess 1 sleep:5000'])
  const mover = aMover()
  const kill = new AbortController()
  const ending = mover.endAccess(diskOf('disk-1'), kill.signal)
  while (!folder.trace().some(({ call }) => call === 'InitEx')) await sleep(20)
  await sleep(200)
  kill.abort()
  assert.is(await reasonOf(ending), 'MoverKilled')
})

test('a request that is given up during a transfer does not stop the transfer, and its late answer is ignored', async () => {
  const mover = aMover()
  // Otherwise its answer may arrive before the request is given up.
  const { moving } = await startUpload(mover, 'disk-1', never, ['EndAccess 1 sleep:500'])
  const kill = new AbortController()
  const given = mover.endAccess(diskOf('disk-2'), kill.signal)
  const next = mover.endAccess(diskOf('disk-1'), never)
  await sleep(0)
  kill.abort()
  assert.is(await reasonOf(given), 'MoverKilled')
  await next
  folder.start([])
  assert.is((await moving).state, 'sealed')
})

test('a transfer that is killed before it began does not stop the one in progress', async () => {
  const mover = aMover()
  const { moving } = await startUpload(mover, 'disk-1')
  const kill = new AbortController()
  const waiting = mover.upload(await requestFor('disk-2'), { ...idle, kill: kill.signal })
  kill.abort()
  folder.start([])
  assert.is((await moving).state, 'sealed')
  assert.is(await reasonOf(waiting), 'MoverKilled')
})

test.run()
