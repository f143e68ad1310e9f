// Access modes as the set that they are: their order says nothing.

const POD = 'ReadWriteOncePod'
const ONCE = 'ReadWriteOnce'
const KNOWN = [ONCE, 'ReadOnlyMany', 'ReadWriteMany', POD]

export function knownModes(modes: unknown): string[] {
  return Array.isArray(modes) ? KNOWN.filter((mode) => modes.includes(mode)) : []
}

/** How one node writes to it, as to a disk with snapshots; undefined: none does. */
export function writerMode(modes: unknown): string | undefined {
  return [POD, ONCE].find((mode) => knownModes(modes).includes(mode))
}

/**
 * What a new disk is asked for. The other modes of the set never are: for each of them vSphere's driver makes a file share
 * (vsphere-csi-driver, pkg/csi/service/common, IsFileVolumeRequest).
 */
export function diskModes(modes: unknown): string[] {
  return [writerMode(modes) ?? ONCE]
}

/** All of these sets together. Kubernetes takes ReadWriteOncePod alone only: the claim, which goes first, says whether it is meant. */
export function joinedModes(ofClaim: unknown, ...others: unknown[]): string[] {
  if (writerMode(ofClaim) === POD) return [POD]
  const all = [ofClaim, ...others].flatMap(knownModes)
  return knownModes(all).filter((mode) => mode !== POD)
}
