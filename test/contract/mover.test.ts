// The mover as a real child process with worker threads, over disk files and a repository in a folder.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { CapacityError, CorruptionError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { HOUR_MS, KiB, MiB } from '#shared/kernel/units.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { createMover, type MoverOptions } from '#shared/movers/process/client.ts'
import type { Mover, UploadRequest } from '#shared/ports/mover.ts'
import { createDiskFile, FileDisk } from '#shared/providers/file/disk.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { readRoot } from '#shared/repository/core/seal.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { ABOUT, CHEAP_SCRYPT, FCD, factsOf, access as plainAccess, pointOf } from '#test/support/engine-world.ts'
import { folderSettings, folderStore } from '#test/support/stores.ts'
import { noise } from './disk-suite.ts'

const ENTRY = fileURLToPath(new URL('../../shared/movers/process/main.ts', import.meta.url))
const CAPACITY_BYTES = 24 * MiB + 512
const folder = mkdtempSync(join(tmpdir(), 'dormouse-mover-'))
const source = join(folder, 'source.img')
const repositoryFolder = join(folder, 'repository')
const store = folderStore(repositoryFolder)
const access = { ...plainAccess, store: folderSettings(repositoryFolder) }
const repositories = createRepositories({
  storeOf: () => store,
  clock: systemClock,
  chunkBytes: 256 * KiB,
  scrypt: CHEAP_SCRYPT,
  sourceOf: blockSourceOf,
})
const never = new AbortController().signal
const idle = { signal: never, kill: never, onProgress: () => {} }
const disk = {
  access: { server: '', port: 0, thumbprintSha1: '', user: '', password: '', datastoreMoref: '' },
  fcdId: FCD,
  snapshotId: 's',
}
let movers: Mover[] = []

function aMover(path: string, options: Partial<MoverOptions> = {}): Mover {
  const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, 'compiled') }
  const mover = createMover({
    entry: ENTRY,
    env,
    disks: { provider: 'file', path, extents: undefined },
    ...options,
  })
  movers.push(mover)
  return mover
}

async function uploadRequest(snapshotId: string, changes: Partial<UploadRequest> = {}): Promise<UploadRequest> {
  const session = await repositories.newSessionId(access, pointOf(snapshotId), '1')
  const rest = {
    slice: 1,
    sliceMs: HOUR_MS,
    capacityBytes: CAPACITY_BYTES,
    changedAreas: undefined,
    parentRoot: undefined,
  }
  return { repository: access, disk, session, about: ABOUT, source: factsOf(snapshotId), ...rest, ...changes }
}

async function downloadTo(path: string, root: string, options: Partial<MoverOptions> = {}) {
  createDiskFile(path, CAPACITY_BYTES)
  const request = { repository: access, disk, root, sliceMs: HOUR_MS, nextChunk: 0, targetIsZeroed: true }
  return await aMover(path, options).download(request, idle)
}

async function rejection(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => assert.unreachable('it did not fail'),
    (error: unknown) => error,
  )
}

const test = suite('mover')

test.before(async () => {
  createDiskFile(source, CAPACITY_BYTES)
  const file = new FileDisk(source, { writable: true })
  file.write(0, noise(9 * MiB))
  file.write(12 * MiB, Buffer.alloc(2 * MiB, 'much the same '))
  file.write(CAPACITY_BYTES - 512, noise(512))
  file.close()
  await repositories.ensure(access, undefined)
})
test.after.each(async () => {
  await Promise.all(movers.map((mover) => mover.close()))
  movers = []
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

test("a backup says when it was sealed by the wall time that all processes share, whatever its node's clock says", async () => {
  const wall = { nowMs: () => Date.parse('2001-02-03T04:05:06Z') }
  const request = await uploadRequest('wall')
  assert.is((await aMover(source, { wall }).upload(request, idle)).state, 'sealed')
  const repository = await requireRepository(store, access.password, undefined, undefined)
  const { sealedMs = 0 } = (await readRoot(repository, request.session)) ?? {}
  assert.ok(sealedMs >= wall.nowMs() && sealedMs < wall.nowMs() + HOUR_MS, new Date(sealedMs).toISOString())
})

test('a backup and its restore through worker threads give the same bytes', async () => {
  const mover = aMover(source)
  const outcome = await mover.upload(await uploadRequest('s1'), idle)
  assert.is(outcome.state === 'sealed' && outcome.mode, 'Everything')
  const target = join(folder, 'target.img')
  const restored = await downloadTo(target, `roots/${(await uploadRequest('s1')).session}`)
  assert.is(restored.state, 'done')
  assert.is(restored.progress.bytesDone, CAPACITY_BYTES)
  assert.ok(readFileSync(source).equals(readFileSync(target)))
})

test('slices of one volume follow each other in one child', async () => {
  const mover = aMover(source)
  const request = await uploadRequest('s2')
  const first = await mover.upload({ ...request, sliceMs: 0 }, idle)
  assert.is(first.state, 'more')
  assert.is((await mover.upload({ ...request, slice: 2 }, idle)).state, 'sealed')
  const again = await mover.upload({ ...request, slice: 3 }, idle)
  assert.is(again.state, 'sealed', 'what is sealed says so')
})

test('a caller that stops the transfer gets a checkpoint', async () => {
  const stop = new AbortController()
  stop.abort()
  const outcome = await aMover(source).upload(await uploadRequest('s3'), { ...idle, signal: stop.signal })
  assert.is(outcome.state, 'more')
})

test('errors keep their class and reason on the way', async () => {
  const request = await uploadRequest('s4')
  const wrongKey = { ...request, repository: { ...access, password: 'wrong' } }
  const wrong = await rejection(aMover(source).upload(wrongKey, idle))
  assert.ok(wrong instanceof TerminalError && wrong.reason === 'RepositoryKeyWrong', `${wrong}`)
  const large = await rejection(aMover(source).upload({ ...request, capacityBytes: 30 * MiB }, idle))
  assert.ok(large instanceof CapacityError && large.diskBytes === CAPACITY_BYTES, `${large}`)
  const root = `roots/${request.session}`
  const missing = await rejection(downloadTo(join(folder, 'none.img'), root))
  assert.ok(missing instanceof TerminalError && missing.reason === 'RootMissing', `${missing}`)
})

test('corruption is reported as corruption, and the mover continues to serve', async () => {
  const mover = aMover(source)
  const request = await uploadRequest('s5')
  await mover.upload(request, idle)
  const path = join(repositoryFolder, 'roots', request.session)
  const body = readFileSync(path)
  body[100]! ^= 1
  rmSync(path)
  writeFileSync(path, body)
  const error = await rejection(downloadTo(join(folder, 'corrupt.img'), `roots/${request.session}`))
  assert.ok(error instanceof CorruptionError && error.reason === 'RootCorrupt', `${error}`)
  assert.is((await mover.upload(await uploadRequest('s6'), idle)).state, 'sealed')
})

test('a killed mover fails its transfer and the next call starts a new one', async () => {
  const mover = aMover(source)
  const request = await uploadRequest('s7')
  const kill = new AbortController()
  const transfer = rejection(mover.upload(request, { ...idle, kill: kill.signal }))
  await sleep(150)
  kill.abort()
  const error = await transfer
  assert.ok(error instanceof RetryableError && error.reason === 'MoverKilled', `${error}`)
  assert.is((await mover.upload({ ...request, slice: 2 }, idle)).state, 'sealed')
})

test('two transfers that are asked for at once come one after the other', async () => {
  const mover = aMover(source)
  const outcomes = await Promise.all(
    ['s8', 's9'].map(async (snapshot) => await mover.upload(await uploadRequest(snapshot), idle)),
  )
  assert.equal(
    outcomes.map(({ state }) => state),
    ['sealed', 'sealed'],
  )
})

test('an idle mover ends, and is started again when there is work', async () => {
  const mover = aMover(source, { idleMs: 50 })
  await mover.upload(await uploadRequest('s10'), idle)
  const before = childrenOf(process.pid)
  assert.is(before.length, 1)
  for (let tries = 0; childrenOf(process.pid).length > 0; tries++) {
    assert.ok(tries < 100, 'it does not end')
    await sleep(50)
  }
  assert.is((await mover.upload(await uploadRequest('s11'), idle)).state, 'sealed')
})

test('a mover that cannot be set up reports the reason to each transfer', async () => {
  const libDir = join(folder, 'no-vddk')
  mkdirSync(join(libDir, 'lib64'), { recursive: true })
  writeFileSync(join(libDir, 'lib64', 'libvixDiskLib.so.8'), 'no library')
  const broken = aMover(source, {
    disks: { provider: 'vddk', libDir, configFile: undefined, transportModes: undefined },
  })
  for (let time = 0; time < 2; time++) {
    const error = await rejection(broken.upload(await uploadRequest(`broken-${time}`), idle))
    assert.is((error as { reason?: string }).reason, 'VddkNotLoadable', String(error))
  }
})

test('a mover whose parent is killed ends by itself', async () => {
  const request = await uploadRequest('s12')
  const script = `
    import { createMover } from ${JSON.stringify(new URL('../../shared/movers/process/client.ts', import.meta.url).href)}
    const mover = createMover(${JSON.stringify({ entry: ENTRY, env: {}, disks: { provider: 'file', path: source } })})
    const request = ${JSON.stringify({ ...request, sliceMs: 0 })}
    const never = new AbortController().signal
    await mover.upload(request, { signal: never, kill: never, onProgress: () => {} })
    console.log('ready')
    setInterval(() => {}, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => parent.stdout.once('data', resolve))
  const [child] = childrenOf(parent.pid!)
  assert.ok(child !== undefined)
  parent.kill('SIGKILL')
  for (let tries = 0; isAlive(child); tries++) {
    assert.ok(tries < 100, 'it outlives its parent')
    await sleep(50)
  }
})

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return text === '' ? [] : text.split(' ').map(Number)
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

test('a mover with a limit gets no further in its slice than the limit lets it', async () => {
  const limited = aMover(source, { bytesPerSecond: KiB })
  const outcome = await limited.upload(await uploadRequest('limited', { sliceMs: 1000 }), idle)
  assert.ok(outcome.state === 'more', outcome.state)
  assert.ok(outcome.progress.bytesSent > 0 && outcome.progress.bytesDone < CAPACITY_BYTES)
})

test.run()
