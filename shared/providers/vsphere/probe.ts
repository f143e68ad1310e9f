// Checks one vCenter for `dormouse doctor`: whether it can be reached and trusted, accepts the login, and grants what backups need.

import type { Clock } from '#shared/kernel/clock.ts'
import type { VCenter } from './config.ts'
import { errorOf } from './faults.ts'
import { Session } from './session.ts'
import { morefElement, VIM } from './soap.ts'
import { childOf, element, listOf, textOf } from './xml.ts'

export type VCenterProbe = {
  vcenter: string
  name: string
  version: string
  apiVersion: string
  build: string
  /** Why its certificate was trusted; `nothing`: the Secret says insecure. */
  trust: 'pin' | 'ca' | 'system' | 'nothing'
  /** `AA:BB:…`: the value that `thumbprint-sha256` needs for this certificate. */
  thumbprintSha256: string
  missingPrivileges: string[]
}

/**
 * Privileges of the account, at the root folder and below: for the disk service, snapshots, and VDDK
 * (docs/development/vsphere.md#privileges).
 */
const NEEDED_PRIVILEGES = [
  'Cns.Searchable',
  'Datastore.AllocateSpace',
  'Datastore.FileManagement',
  'Global.DisableMethods',
  'Global.EnableMethods',
  'VirtualMachine.Config.ChangeTracking',
  'VirtualMachine.Provisioning.DiskRandomAccess',
  'VirtualMachine.Provisioning.DiskRandomRead',
  'VirtualMachine.Provisioning.GetVmFiles',
  'VirtualMachine.State.CreateSnapshot',
  'VirtualMachine.State.RemoveSnapshot',
]

/** Logs in, checks and logs out. Throws the errors of a VolumeService: each one's message names the fix. */
export async function probeVCenter(vcenter: VCenter, clock: Clock): Promise<VCenterProbe> {
  const session = new Session(vcenter, clock)
  try {
    const { key, content } = await session.identity()
    // This also shows that the disk service exists: 6.7 U2 is the first version with it.
    await session.disks()
    const about = (name: string) => textOf(content.about, name) ?? 'unknown'
    const { response, thumbprintSha256 } = await session.call({
      service: VIM,
      method: 'HasPrivilegeOnEntities',
      on: content.authorizationManager,
      parameters: [
        morefElement('entity', content.rootFolder),
        element('sessionId', {}, key),
        ...NEEDED_PRIVILEGES.map((privilege) => element('privId', {}, privilege)),
      ],
      repeatable: true,
    })
    const granted = new Set(
      listOf(childOf(response, 'returnval'), 'privAvailability')
        .filter((availability) => textOf(availability, 'isGranted') === 'true')
        .map((availability) => textOf(availability, 'privId')),
    )
    return {
      vcenter: vcenter.host,
      name: about('fullName'),
      version: about('version'),
      apiVersion: about('apiVersion'),
      build: about('build'),
      trust: trustOf(vcenter),
      thumbprintSha256,
      missingPrivileges: NEEDED_PRIVILEGES.filter((privilege) => !granted.has(privilege)),
    }
  } catch (error) {
    throw errorOf(error, vcenter.host, 'tell what the account may do')
  } finally {
    await session.close()
  }
}

function trustOf({ insecure, pinnedSha256, caPem }: VCenter): VCenterProbe['trust'] {
  if (pinnedSha256 !== undefined) return 'pin'
  if (caPem !== undefined) return 'ca'
  return insecure ? 'nothing' : 'system'
}
