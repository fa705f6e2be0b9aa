import type { Signer } from '../../src/keys/private-key.ts'
import { type PublicKey, readPublicKey } from '../../src/keys/public-key.ts'

/** Public keys that stay the same, so that golden files do. Their private halves were never kept. */
const SPKI = {
  root: [
    '3059301306072a8648ce3d020106082a8648ce3d03010703420004738b28b1c2433dfb81e7edff377f404c2507e7a906fee9',
    '992305de21e9e45dd7f7e9af4f32bad03025bf37019984d14ca63bc265720bbb20542b9dcd92a51d62',
  ],
  issuing: [
    '3059301306072a8648ce3d020106082a8648ce3d030107034200046b59b0efc2763ff00ebb9550dbdbc733da6f0322483cc9',
    '27c4790221e931eb09bbd53431065107b016fcb86a43c7c47bb2e4fc824e07eb1855a38fef35c9d57a',
  ],
  workload: [
    '3059301306072a8648ce3d020106082a8648ce3d03010703420004e0675bfd0a2532f7c28cf6051cc146102537743a72f4d8',
    'f7843419391d9952d8476d6054c46ed29f19f9e977726c2289bcc583883f48075863ebc215a85c6bb4',
  ],
  rsaWorkload: [
    '30820122300d06092a864886f70d01010105000382010f003082010a0282010100d2505fc0d345905726b31c62f6da3612ce',
    '1a3105613646e76f99a06cc644aeb7d97ec7c53008ae87ff8a255330e7f4cfea0b818c30faaa263ea4c36a29a60a65d9ea7a',
    'ed0693af7ec7c2aba74d29d0fbecd666eedc319b0273dcea2a3215e5ffd4d356e706962d557683e5319c18daf280bbeb239c',
    '6a4d56b26f9898d61b43942784a29026e0a255be9c00806050a81acccc3eeb809f5b143c135f9ca55fccf8a06eedd4e2c705',
    'acc434bdbe638184fcb62650d0990c935216ec5434ee6908340a67c2d7370042d04d9117c386768a0eca46023bbd039e1b2e',
    '0ae0fcfe1300b69233e210e293848d548250ec39535cec90f91b0b771a85bce5174c8058b055030203010001',
  ],
} as const

export function fixedPublicKey(name: keyof typeof SPKI): PublicKey {
  return readPublicKey(Buffer.from(SPKI[name].join(''), 'hex'))
}

/** Writes down what it is asked to sign, and signs nothing. */
export class RecordingSigner implements Signer {
  readonly publicKey: PublicKey
  readonly asked: Uint8Array[] = []

  constructor(publicKey: PublicKey) {
    this.publicKey = publicKey
  }

  async sign(tbs: Uint8Array): Promise<Uint8Array> {
    this.asked.push(tbs)
    return Uint8Array.of(0)
  }
}
