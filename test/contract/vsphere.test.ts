// What the vSphere adapter does beyond the port's contract: sessions, the Secret's changes, trust, faults, several vCenters.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Clock, systemClock } from '#shared/kernel/clock.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { MINUTE_MS, MiB } from '#shared/kernel/units.ts'
import type { VCenter, VSphereConfig } from '#shared/providers/vsphere/config.ts'
import { probeVCenter } from '#shared/providers/vsphere/probe.ts'
import { createVolumeService, type VSphereVolumes } from '#shared/providers/vsphere/service.ts'
import { eventually, filled, finished, rejects, takenBy } from './volumes-suite.ts'
import { TestVcenter } from './vsphere-vcenter.ts'

const ABSENT = '91ff4aef-72f6-41e6-97fb-4bced53762ca'
/** A port without a listener. */
const CLOSED_PORT = 9

/** Sleeps take no time; `passMs` lets time pass. */
class QuickClock implements Clock {
  #aheadMs = 0
  slept: number[] = []
  nowMs = () => Date.now() + this.#aheadMs
  monotonicMs = () => performance.now() + this.#aheadMs
  async sleep(ms: number): Promise<void> {
    this.slept.push(ms)
  }
  passMs(ms: number): void {
    this.#aheadMs += ms
  }
}

type World = {
  vcenter: TestVcenter
  clock: QuickClock
  service: VSphereVolumes
  /** What the Secret holds now; tests change it. */
  secret: { vcenters: VCenter[] }
  loads: number
}

const test = suite('vSphere')
const worlds: World[] = []
let vcenter: TestVcenter
let other: TestVcenter

test.before(async () => {
  ;[vcenter, other] = await Promise.all([TestVcenter.start(), TestVcenter.start()])
})
test.after(async () => {
  await Promise.all([vcenter.stop(), other.stop()])
})
test.after.each(async () => {
  await Promise.all(worlds.splice(0).map((world) => world.service.close()))
  await Promise.all([vcenter.calm(), other.calm()])
})

function section(of = vcenter, change: Partial<VCenter> = {}): VCenter {
  const { port, password, caPem } = of
  return { host: '127.0.0.1', port, user: of.ready.user, password, insecure: false, caPem, ...change }
}

function world(...vcenters: VCenter[]): World {
  const clock = new QuickClock()
  const secret = { vcenters: vcenters.length === 0 ? [section()] : vcenters }
  const made: World = { vcenter, clock, secret, loads: 0, service: undefined as never }
  const loadConfig = async (): Promise<VSphereConfig> => {
    made.loads++
    return { clusterId: 'c1', vcenters: structuredClone(secret.vcenters) }
  }
  made.service = createVolumeService({ loadConfig, clock })
  worlds.push(made)
  return made
}

async function logins(of = vcenter): Promise<number> {
  return (await of.state()).calls['Login'] ?? 0
}

test('closing gives the session back', async () => {
  const { service } = world()
  await service.describe(ABSENT)
  assert.is((await vcenter.state()).sessions, 1)
  await service.close()
  assert.is((await vcenter.state()).sessions, 0)
  await service.describe(ABSENT)
  assert.is((await vcenter.state()).sessions, 1, 'and it can be used again')
})

test('closing while the login is under way leaves no session behind', async () => {
  const { service } = world()
  await vcenter.delay('Login', 200)
  const asked = service.describe(ABSENT).catch(() => undefined)
  await systemClock.sleep(50)
  await service.close()
  await asked
  assert.is((await vcenter.state()).sessions, 0)
})

test('callers that come together share one login', async () => {
  const { service } = world()
  await Promise.all(Array.from({ length: 12 }, () => service.describe(ABSENT)))
  assert.is(await logins(), 1)
})

test('an expired session is renewed without the caller seeing it, once for all', async () => {
  const { service } = world()
  const fcdId = await vcenter.createDisk(MiB, false)
  await service.describe(fcdId)
  await vcenter.expireSessions()
  const seen = await Promise.all(Array.from({ length: 12 }, () => service.listSnapshots(fcdId)))
  assert.is(seen.length, 12)
  assert.is(await logins(), 2)
  await vcenter.expireSessions()
  assert.ok(await takenBy(service, fcdId, 'also a call that changes something'))
  await service.close()
  assert.is((await vcenter.state()).sessions, 0)
})

test('a vCenter that refuses every session is VCenterSessionExpired', async () => {
  const { service } = world()
  await vcenter.fail('VslmRetrieveVStorageObject', 'NotAuthenticated', 2)
  await rejects(service.describe(ABSENT), RetryableError, 'VCenterSessionExpired')
})

test('a password that was changed in the Secret is used without a restart', async () => {
  const { service, secret } = world()
  const fcdId = await vcenter.createDisk(MiB, false)
  await service.describe(fcdId)
  await vcenter.changePassword('n3w & <better>')
  await vcenter.expireSessions()
  secret.vcenters = [section()]
  assert.ok(await takenBy(service, fcdId, 'after the change'))
  assert.is((await service.diskAccess(fcdId)).password, 'n3w & <better>')
})

test('VDDK gets the current password, also while an older session continues', async () => {
  const { service, secret } = world()
  const fcdId = await vcenter.createDisk(MiB, false)
  assert.is((await service.diskAccess(fcdId)).password, vcenter.password)
  await vcenter.changePassword('of now')
  secret.vcenters = [section()]
  assert.is((await service.diskAccess(fcdId)).password, 'of now')
})

test('a wrong password is reported as such, and not tried often enough to lock the account', async () => {
  const { service, secret, clock } = world(section(vcenter, { password: 'wrong' }))
  for (let i = 0; i < 5; i++) {
    const error = await rejects(service.describe(ABSENT), RetryableError, 'VCenterLoginFailed')
    assert.not.match(error.message, /wrong/)
  }
  assert.is(await logins(), 1)
  clock.passMs(MINUTE_MS)
  await rejects(service.describe(ABSENT), RetryableError, 'VCenterLoginFailed')
  assert.is(await logins(), 2)
  secret.vcenters = [section()]
  assert.is(await service.describe(ABSENT), undefined, 'a corrected Secret works at once')
})

test('a pinned certificate is trusted whatever its authority', async () => {
  const pin = vcenter.ready.thumbprintSha256.replaceAll(':', '').toLowerCase()
  const { caPem: _, ...bare } = section()
  const { service } = world({ ...bare, pinnedSha256: pin })
  const fcdId = await vcenter.createDisk(MiB, false)
  const access = await service.diskAccess(fcdId)
  assert.is(access.thumbprintSha1, vcenter.ready.thumbprintSha1)
  assert.is(access.server, '127.0.0.1')
  assert.is(access.port, vcenter.port)
})

test('another certificate than the pinned one never sees the password', async () => {
  const { service } = world(section(vcenter, { pinnedSha256: 'ab'.repeat(32) }))
  const error = await rejects(service.describe(ABSENT), RetryableError, 'VCenterCertificateUntrusted')
  assert.match(error.message, new RegExp(vcenter.ready.thumbprintSha256.replaceAll(':', '').toLowerCase()))
  assert.equal((await vcenter.state()).calls, {})
})

test('a certificate of an unknown authority is not trusted', async () => {
  const { caPem: _, ...bare } = section()
  await rejects(world(bare).service.describe(ABSENT), RetryableError, 'VCenterCertificateUntrusted')
  const stranger = section(vcenter, { caPem: other.caPem })
  await rejects(world(stranger).service.describe(ABSENT), RetryableError, 'VCenterCertificateUntrusted')
  const broken = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
  const spoilt = section(vcenter, { caPem: other.caPem + broken })
  const error = await rejects(world(spoilt).service.describe(ABSENT), RetryableError, 'VCenterCertificateUntrusted')
  assert.match(error.message, 'certificate 2 of its CA bundle')
  assert.equal((await vcenter.state()).calls, {})
})

test('a certificate for another name is not trusted', async () => {
  const elsewhere = await TestVcenter.start('-listen', '127.0.0.2:0')
  try {
    const { service } = world(section(elsewhere, { host: '127.0.0.2' }))
    const error = await rejects(service.describe(ABSENT), RetryableError, 'VCenterCertificateUntrusted')
    assert.match(error.message, /certificate is not for 127\.0\.0\.2/)
  } finally {
    await elsewhere.stop()
  }
})

test('insecure-flag switches verification off, and VDDK still gets the thumbprint of the certificate that was seen', async () => {
  const { caPem: _, ...bare } = section()
  const { service } = world({ ...bare, insecure: true })
  const fcdId = await vcenter.createDisk(MiB, false)
  assert.is((await service.diskAccess(fcdId)).thumbprintSha1, vcenter.ready.thumbprintSha1)
})

test('a corrected trust works without a restart', async () => {
  const { service, secret } = world(section(vcenter, { pinnedSha256: 'ab'.repeat(32) }))
  await rejects(service.describe(ABSENT), RetryableError, 'VCenterCertificateUntrusted')
  secret.vcenters = [section()]
  assert.is(await service.describe(ABSENT), undefined)
})

test('a vCenter that is busy with the disk asks for patience', async () => {
  const { service } = world()
  const fcdId = await vcenter.createDisk(MiB, false)
  const snapshotId = await takenBy(service, fcdId, 'd')
  for (const fault of ['InvalidState', 'TaskInProgress', 'VslmSyncFault', 'FileLocked', 'NotFound']) {
    await vcenter.fail('VslmCreateSnapshot_Task', fault)
    await rejects(service.startSnapshot(fcdId, 'd'), RetryableError, 'VCenterBusy')
    await vcenter.fail('VslmDeleteSnapshot_Task', fault)
    await rejects(service.startDeleteSnapshot(fcdId, snapshotId), RetryableError, 'VCenterBusy')
  }
  await vcenter.fail('VslmCreateSnapshot_Task', 'SystemError:disk trouble')
  const unknown = await rejects(service.startSnapshot(fcdId, 'd'), RetryableError, 'VCenterFault')
  assert.match(unknown.message, /SystemError/)
  assert.is((await service.listSnapshots(fcdId)).length, 1)
})

test('a task that ended in a fault is over, and is worth another try', async () => {
  const { service } = world()
  const fcdId = await vcenter.createDisk(MiB, false)
  const snapshotId = await takenBy(service, fcdId, 'd')
  for (const fault of ['InvalidState', 'TaskInProgress', 'NotFound', 'InvalidArgument', 'SystemError:x']) {
    await vcenter.failTask('VslmCreateSnapshot_Task', fault)
    const created = await service.startSnapshot(fcdId, 'd')
    const error = await rejects(finished(service, created), RetryableError, 'TaskFailed')
    assert.match(error.message, new RegExp(fault.split(':')[0] ?? ''))
    await vcenter.failTask('VslmDeleteSnapshot_Task', fault)
    const deleted = await service.startDeleteSnapshot(fcdId, snapshotId)
    await rejects(finished(service, deleted!), RetryableError, 'TaskFailed')
  }
  assert.is((await service.listSnapshots(fcdId)).length, 1, 'a refused deletion is no deletion')
})

test('a missing privilege is named, and the error is terminal', async () => {
  const { service } = world()
  const fcdId = await vcenter.createDisk(MiB, false)
  await vcenter.fail('VslmCreateSnapshot_Task', 'NoPermission:VirtualMachine.State.CreateSnapshot')
  const refused = await rejects(service.startSnapshot(fcdId, 'd'), TerminalError, 'PermissionDenied')
  assert.match(refused.message, /grant VirtualMachine\.State\.CreateSnapshot/)
  await vcenter.failTask('VslmCreateSnapshot_Task', 'NoPermission:Datastore.FileManagement')
  const task = await service.startSnapshot(fcdId, 'd')
  await rejects(finished(service, task), TerminalError, 'PermissionDenied')
})

test('details that lag behind their new snapshot are asked for again', async () => {
  const { service, clock } = world()
  const fcdId = await vcenter.createDisk(MiB, true)
  const snapshotId = await takenBy(service, fcdId, 'd')
  await vcenter.fail('VslmRetrieveSnapshotDetails', 'InvalidArgument:snapshotId', 3)
  assert.match((await service.changeId(fcdId, snapshotId)) ?? '', /\/1$/)
  assert.is(clock.slept.length, 3)
  await vcenter.fail('VslmRetrieveSnapshotDetails', 'InvalidArgument:snapshotId', 5)
  await rejects(service.changeId(fcdId, snapshotId), RetryableError, 'VCenterBusy')
})

test('what vCenter says of lost change tracking leads to a full read, other trouble to a retry', async () => {
  const { service } = world()
  const fcdId = await vcenter.createDisk(MiB, true)
  const changeId = (await service.changeId(fcdId, await takenBy(service, fcdId, 'base'))) ?? ''
  await vcenter.write(fcdId, 0, filled(65_536))
  const snapshotId = await takenBy(service, fcdId, 'next')
  const ask = () => service.changedAreas(fcdId, snapshotId, changeId, MiB)
  const prefix = 'FileFault:vim.hostd.vmsvc.cbt.'
  const losses = [`${prefix}noTrack`, `${prefix}noEpoch`, `${prefix}cannotGetChanges`, 'InvalidArgument:changeId']
  for (const fault of [...losses, 'InvalidArgument:deviceKey', 'InvalidArgument:startOffset']) {
    await vcenter.fail('VslmQueryChangedDiskAreas', fault)
    await rejects(ask(), TerminalError, 'ChangeTrackingLost')
  }
  await vcenter.fail('VslmQueryChangedDiskAreas', 'FileFault:vim.fault.something', 3)
  await rejects(ask(), RetryableError, 'VCenterFault')
  await vcenter.fail('VslmQueryChangedDiskAreas', 'SystemError:blip', 2)
  assert.equal(await ask(), [{ offsetBytes: 0, lengthBytes: 65_536 }], 'two blips are ridden out')
  await vcenter.fail('VslmQueryChangedDiskAreas', 'InvalidArgument:snapshotId')
  await rejects(ask(), TerminalError, 'SnapshotNotFound')
})

test('a broken connection is VCenterUnreachable, and a snapshot is never asked for twice', async () => {
  const { service } = world()
  const fcdId = await vcenter.createDisk(MiB, false)
  await service.describe(fcdId)
  await vcenter.fail('VslmCreateSnapshot_Task', 'LostAnswer')
  await rejects(service.startSnapshot(fcdId, 'lost'), RetryableError, 'VCenterUnreachable')
  assert.is((await vcenter.state()).calls['VslmCreateSnapshot_Task'], 1)
  assert.is((await service.listSnapshots(fcdId)).filter(({ description }) => description === 'lost').length, 1)
})

test('a kept connection that vCenter has dropped is replaced for calls that only read', async () => {
  const { service } = world()
  const fcdId = await vcenter.createDisk(MiB, false)
  await service.describe(fcdId)
  await vcenter.fail('VslmRetrieveVStorageObject', 'Reset')
  assert.is((await service.describe(fcdId))?.fcdId, fcdId)
})

test('a vCenter that starts up answers through its proxy, and is unreachable', async () => {
  const { service } = world()
  for (const status of [503, 404, 502]) {
    await vcenter.fail('RetrieveServiceContent', `HTTP:${status}`)
    const error = await rejects(service.describe(ABSENT), RetryableError, 'VCenterUnreachable')
    assert.match(error.message, new RegExp(`HTTP ${status}`))
  }
  assert.is(await service.describe(ABSENT), undefined)
})

test('a vCenter that was down at the start is used when it is up', async () => {
  const { service, secret } = world(section(vcenter, { port: CLOSED_PORT }))
  await rejects(service.describe(ABSENT), RetryableError, 'VCenterUnreachable')
  secret.vcenters = [section()]
  assert.is(await service.describe(ABSENT), undefined)
})

test('of several vCenters the one that knows a volume is found, and asked alone from then on', async () => {
  const { service } = world(section(), section(other, { host: 'localhost' }))
  const here = await vcenter.createDisk(MiB, false)
  const there = await other.createDisk(MiB, false)
  assert.is((await service.describe(here))?.vcenter, '127.0.0.1')
  assert.is((await service.describe(there))?.vcenter, 'localhost')
  const task = await service.startSnapshot(there, 'd')
  assert.is(task.vcenter, 'localhost')
  await finished(service, task)
  assert.is((await service.diskAccess(there)).port, other.port)
  const before = (await vcenter.state()).calls['VslmRetrieveVStorageObject']
  await service.listSnapshots(there)
  assert.is((await vcenter.state()).calls['VslmRetrieveVStorageObject'], before)
  assert.is(await service.describe(ABSENT), undefined)
})

test('one vCenter that is away does not hide the volumes of another, and proves no volume gone', async () => {
  const { service } = world(section(vcenter, { host: '127.0.0.2', port: CLOSED_PORT }), section())
  const fcdId = await vcenter.createDisk(MiB, false)
  assert.is((await service.describe(fcdId))?.vcenter, '127.0.0.1')
  await rejects(service.describe(ABSENT), RetryableError, 'VCenterUnreachable')
  await rejects(service.startDeleteSnapshot(ABSENT, ABSENT), RetryableError, 'VCenterUnreachable')
})

test('a volume that has moved to another vCenter is found there', async () => {
  const { service } = world(section(), section(other, { host: 'localhost' }))
  const fcdId = await vcenter.createDisk(MiB, false)
  await service.listSnapshots(fcdId)
  await vcenter.deleteDisk(fcdId)
  assert.is((await other.state()).calls['VslmRetrieveVStorageObject'], undefined)
  assert.is(await service.describe(fcdId), undefined)
  assert.is((await other.state()).calls['VslmRetrieveVStorageObject'], 1)
})

test('a vCenter that was added to the Secret is found when a volume is missed', async () => {
  const { service, secret, clock } = world()
  const there = await other.createDisk(MiB, false)
  assert.is(await service.describe(there), undefined)
  secret.vcenters = [section(), section(other, { host: 'localhost' })]
  assert.is(await service.describe(there), undefined, 'the Secret is not read for each miss')
  clock.passMs(MINUTE_MS)
  assert.is((await service.describe(there))?.vcenter, 'localhost')
  assert.is(await logins(), 1, 'the unchanged vCenter keeps its session')
})

test('a connection whose section was changed is logged out', async () => {
  const wrongPin = { host: 'localhost', pinnedSha256: 'ab'.repeat(32) }
  const { service, secret } = world(section(), section(other, wrongPin))
  await rejects(service.describe(ABSENT), RetryableError, 'VCenterCertificateUntrusted')
  const pinnedSha256 = vcenter.ready.thumbprintSha256.replaceAll(':', '').toLowerCase()
  secret.vcenters = [section(vcenter, { pinnedSha256 }), section(other, { host: 'localhost' })]
  assert.is(await service.describe(ABSENT), undefined)
  assert.is(await logins(), 2)
  await eventually(async () => ((await vcenter.state()).sessions === 1 ? true : undefined))
})

test('change tracking is switched alone, without other flags', async () => {
  const { service } = world()
  const fcdId = await vcenter.createDisk(MiB, false)
  await service.changeTracking(fcdId, true)
  assert.is((await service.describe(fcdId))?.changedBlockTracking, true)
  await service.changeTracking(fcdId, false)
  assert.is((await service.describe(fcdId))?.changedBlockTracking, false)
  await rejects(service.changeTracking(ABSENT, true), TerminalError, 'VolumeNotFound')
})

test('a probe reports version, trust and privileges, and leaves no session', async () => {
  const probe = await probeVCenter(section(), systemClock)
  assert.match(probe.apiVersion, /^\d+\.\d+/)
  assert.is(probe.trust, 'ca')
  assert.is(probe.thumbprintSha256, vcenter.ready.thumbprintSha256)
  assert.equal(probe.missingPrivileges, [])
  assert.is((await vcenter.state()).sessions, 0)
  await rejects(
    probeVCenter(section(vcenter, { password: 'wrong' }), systemClock),
    RetryableError,
    'VCenterLoginFailed',
  )
})

test.run()
