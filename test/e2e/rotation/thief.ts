import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attestedCaller } from '../../../src/attestation/caller.ts'
import { authorityOf } from '../../../src/authority/authority.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { HOUR } from '../../../src/core/duration.ts'
import { systemRandom } from '../../../src/core/random.ts'
import { makeIssuing } from '../../../src/issuance/ca-certificates.ts'
import { issueSvid, prepareSvid } from '../../../src/issuance/svid.ts'
import { keyAlgorithm } from '../../../src/keys/algorithms.ts'
import { PassphraseEncryption, SCRYPT_COST } from '../../../src/keys/key-encryption.ts'
import { PrivateKey } from '../../../src/keys/private-key.ts'
import { SealedKeys } from '../../../src/keys/sealed-keys.ts'
import { serviceAccountId } from '../../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../../src/spiffe/trust-domain.ts'
import { KeyDirectory } from '../../../src/storage/key-directory.ts'
import { type Certificate, readCertificate } from '../../../src/x509/certificate.ts'
import { certificatePem } from '../../../src/x509/pem.ts'
import { aCsr } from '../../_support/csr.ts'
import { BareGrpcClient } from '../../_support/grpc-client.ts'
import { httpCall } from '../../_support/http-client.ts'
import { forged, pemOf } from '../../_support/identity.ts'
import type { Mesh } from './mesh.ts'
import type { MeshWorkload } from './mesh-workload.ts'
import { verifies } from './paths.ts'

/** A key with certificates that show its holder to be somebody. */
export type Credential = { readonly name: string; readonly key: string; readonly chain: readonly string[] }

const TRUST_DOMAIN = TrustDomain.parse('cluster.local')
const PARTS = { clock: systemClock, random: systemRandom }
const newKey = () => PrivateKey.generate(keyAlgorithm('ecdsa-p256'))

/** Where a root’s key can be stolen: from its sealed file by whoever has the passphrase, or from a file in the clear. */
export type Loot = { readonly passphraseFile: string } | { readonly keyFile: string }

const sealedBy = (passphraseFile: string) =>
  new SealedKeys(new PassphraseEncryption(async () => readFileSync(passphraseFile), SCRYPT_COST))

/** Who has the root’s key, and signs whatever verifies under that root. */
export class Thief {
  readonly #mesh: Mesh
  readonly #root: Certificate
  readonly #key: PrivateKey
  readonly #victim: MeshWorkload

  private constructor(mesh: Mesh, root: Certificate, key: PrivateKey, victim: MeshWorkload) {
    this.#mesh = mesh
    this.#root = root
    this.#key = key
    this.#victim = victim
  }

  /** Takes the key of the root that signs. @param victim whose identity it wants */
  static async steal(mesh: Mesh, loot: Loot, victim: MeshWorkload): Promise<Thief> {
    const { id } = await mesh.activeRoot()
    const root = (await mesh.bundle()).get(id.slice(0, 8)) as X509Certificate
    const key =
      'keyFile' in loot
        ? PrivateKey.fromPem(readFileSync(loot.keyFile))
        : await sealedBy(loot.passphraseFile).open(id, new KeyDirectory(join(mesh.alcazar.stateDirectory, 'authority')))
    return new Thief(mesh, readCertificate(root.raw), key, victim)
  }

  /** Each would do where a chain to a root were enough. */
  async forgeries(): Promise<readonly Credential[]> {
    return [await this.#byAnIssuerOfItsOwn(), await this.#byANamesakeOfTheIssuer(), await this.#byTheRootItself()]
  }

  async #byAnIssuerOfItsOwn(): Promise<Credential> {
    const key = await newKey()
    const parent = { certificate: this.#root, signer: this.#key }
    const issuing = await makeIssuing(TRUST_DOMAIN, key.publicKey, parent, 30 * 24 * HOUR, PARTS)
    return this.#leaf('by an issuing authority of the thief’s own', issuing, key, [certificatePem(issuing.der)])
  }

  /** Name, number and key identifier of the real one, and another key. */
  async #byANamesakeOfTheIssuer(): Promise<Credential> {
    const { leaf, chain } = this.#victim.held
    const [key, leafKey] = [await newKey(), await newKey()]
    const real = { leaf: new X509Certificate(chain[1] as string), tls: { key: '', cert: '' } }
    const issuing = await forged(real, key, this.#key)
    const svid = await forged({ leaf, tls: { key: '', cert: '' } }, leafKey, key)
    return {
      name: 'by a namesake of our issuing authority',
      key: svid.tls.key,
      chain: [svid.tls.cert, issuing.tls.cert],
    }
  }

  #byTheRootItself(): Promise<Credential> {
    return this.#leaf('by the root itself', this.#root, this.#key, [])
  }

  /** An SVID of the victim's with a lineage, as Alcazar itself would make it. */
  async #leaf(name: string, issuer: Certificate, signer: PrivateKey, above: readonly string[]): Promise<Credential> {
    const { namespace, serviceAccount, name: podName, uid: podUid } = this.#victim.pod
    const account = { namespace, name: serviceAccount }
    const caller = attestedCaller({
      account,
      method: 'client-certificate',
      pod: { name: podName, uid: podUid },
      lineage: {
        podName,
        podUid,
        serviceAccountUid: `uid-of-account-${namespace}-${serviceAccount}`,
        renewableUntil: new Date(Math.floor(Date.now() / 1000) * 1000 + HOUR),
      },
      onBehalfBy: undefined,
      svid: undefined,
    })
    const authority = authorityOf(
      issuer,
      { role: 'issuing', state: 'active', key: 'memory', intermediates: [], root: 'the stolen one' },
      new Date(),
    )
    const key = await newKey()
    const active = {
      authority,
      signer,
      keyId: issuer.tbs.subjectKeyId as Uint8Array,
      chainPem: above,
      bundle: undefined as never,
      rootsPem: '',
    }
    const entitlement = { id: serviceAccountId(TRUST_DOMAIN, account), ttlMs: HOUR }
    const prepared = prepareSvid(caller, entitlement, key.publicKey, active, systemClock, systemRandom)
    const { pem } = await issueSvid(prepared)
    return { name, key: await pemOf(key), chain: [pem, ...above] }
  }

  /** Whether somebody with that bundle takes it for the victim. */
  isTakenBy(credential: Credential, roots: string): Promise<boolean> {
    const folder = this.#mesh.alcazar.stateDirectory
    const [chain, trusted] = [join(folder, '..', 'forged.pem'), join(folder, '..', 'trusted.pem')]
    writeFileSync(chain, credential.chain.join(''))
    writeFileSync(trusted, roots)
    return verifies(chain, trusted)
  }
}

export type Answer = 'renewed' | 'refused'

/** Tries to renew by a credential, by gRPC and by the HTTPS API. Nothing where nobody answers. */
export async function tryEverywhere(mesh: Mesh, { key, chain }: Credential, roots: string): Promise<Answer[]> {
  const tls = { ca: roots, key, cert: chain.join(''), checkServerIdentity: () => undefined }
  const { pem: csr } = await aCsr()
  const { host, port } = mesh.alcazar
  const client = new BareGrpcClient({ host, port }, tls)
  const answers: Answer[] = []
  try {
    const { status, message } = await client.createCertificate({ csr })
    // UNAVAILABLE is a server that is just starting.
    if (status !== 14) answers.push(answerOf(status === 0, status === 16, `${status} ${message}`))
  } catch {
    // It was killed meanwhile.
  } finally {
    client.close()
  }
  const http = await httpCall({ host, port, tls }, 'POST', '/v1/certificates', { body: { csr } }).catch(() => undefined)
  if (http && http.status !== 503) answers.push(answerOf(http.status === 200, http.status === 401, http.text))
  return answers
}

function answerOf(renewed: boolean, refused: boolean, text: string): Answer {
  assert.ok(renewed || refused, `neither renewed nor refused: ${text}`)
  return renewed ? 'renewed' : 'refused'
}
