// What @sigstore/verify says of Sigstore bundles that a key signed.
//
// Usage: node bundles.mjs KEY.pem [--tsa CHAIN.pem UNTIL] BUNDLE... ; $KILN_JUDGES has node_modules (see attestations).
// With --tsa a bundle needs a time stamp by the first certificate of CHAIN, and the key is valid until UNTIL (RFC 3339).
// Prints "accepted" or "refused" and the file's name, a line a bundle.
import {createPublicKey, X509Certificate} from "node:crypto";
import fs from "node:fs";
import {createRequire} from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.KILN_JUDGES, "package.json"));
const {bundleFromJSON} = require("@sigstore/bundle");
const {Verifier, toSignedEntity, toTrustMaterial} = require("@sigstore/verify");
let [pem, ...files] = process.argv.slice(2);
let chain, until;
if (files[0] === "--tsa") [, chain, until, ...files] = files;
const key = createPublicKey(fs.readFileSync(pem));
const roots = {certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: []};
if (chain) {
    const pems = fs.readFileSync(chain, "utf8").match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g);
    roots.timestampAuthorities.push({certChain: {certificates: pems.map(p => ({rawBytes: new X509Certificate(p).raw}))}});
}
const validFor = time => !until || time < new Date(until);
const verifier = new Verifier(toTrustMaterial(roots, () => ({publicKey: key, validFor})),
    {ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: chain ? 1 : 0});

for (const file of files) {
    let word = "accepted";
    try {
        verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(fs.readFileSync(file, "utf8")))));
    } catch {
        word = "refused";
    }
    console.log(word, path.basename(file));
}
