// Does each vCenter of the Secret accept the login, is it new enough, and does the account have the privileges that backups need?

import type { VCenter, VSphereConfig } from '#shared/providers/vsphere/config.ts'
import type { VCenterProbe } from '#shared/providers/vsphere/probe.ts'
import { type Finding, ok, problem, problemOf, warning } from '../finding.ts'

type VCenterDeps = {
  loadConfig: () => Promise<VSphereConfig>
  probe: (vcenter: VCenter) => Promise<VCenterProbe>
  /** DORMOUSE_CLUSTER_ID, which takes precedence over the Secret's. */
  clusterId: string | undefined
}

/** 6.7 U3; older versions lack required calls. */
const LEAST_VERSION = [6, 7, 3]

export async function checkVCenters(deps: VCenterDeps): Promise<Finding[]> {
  try {
    const config = await deps.loadConfig()
    const probed = await Promise.all(config.vcenters.map((vcenter) => checkVCenter(deps, vcenter)))
    return [clusterIdFinding(deps.clusterId ?? config.clusterId), ...probed.flat()]
  } catch (error) {
    return [problemOf('vcenter', '', error)]
  }
}

function clusterIdFinding(clusterId: string): Finding {
  if (clusterId !== '')
    return ok('vcenter', '', `this cluster's id is ${clusterId}; it stands in the name of every snapshot`)
  const fix = 'set cluster-id under [Global] in the vSphere Secret, unique among the clusters of your vCenters'
  return problem('vcenter', '', 'this cluster has no id, so nobody could tell whose a snapshot is', fix)
}

async function checkVCenter(deps: VCenterDeps, vcenter: VCenter): Promise<Finding[]> {
  try {
    return findingsOf(await deps.probe(vcenter))
  } catch (error) {
    return [problemOf('vcenter', vcenter.host, error)]
  }
}

function findingsOf(probe: VCenterProbe): Finding[] {
  const { vcenter, version, build, trust, missingPrivileges } = probe
  const found = [
    ok('vcenter', vcenter, `login works; version ${version}, build ${build}, trusted by ${trustWords(trust)}`),
  ]
  if (isOlder(version)) {
    found.push(problem('vcenter', vcenter, `version ${version} is too old`, `use ${LEAST_VERSION.join('.')} or newer`))
  }
  if (trust === 'nothing') {
    const fix = `add thumbprint-sha256 = "${probe.thumbprintSha256}" to its section, if that is its certificate`
    found.push(
      warning('vcenter', vcenter, 'its certificate is not checked (insecure-flag): the password may go to anyone', fix),
    )
  }
  if (missingPrivileges.length === 0)
    found.push(ok('vcenter', vcenter, 'the account has every privilege that is needed'))
  else
    found.push(
      problem(
        'vcenter',
        vcenter,
        `the account lacks ${missingPrivileges.join(', ')}`,
        'grant them to its role, at the root, with children',
      ),
    )
  return found
}

function isOlder(version: string): boolean {
  const parts = version.split('.').map(Number)
  for (const [index, least] of LEAST_VERSION.entries()) {
    const part = parts[index] ?? 0
    if (Number.isNaN(part) || part !== least) return part < least
  }
  return false
}

function trustWords(trust: VCenterProbe['trust']): string {
  const words = { pin: 'its pinned thumbprint', ca: 'the given CA', system: "the system's CAs", nothing: 'nothing' }
  return words[trust]
}
