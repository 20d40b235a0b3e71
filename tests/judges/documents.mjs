// Other people's readers of a result's SBOMs and envelopes: @sigstore/verify, the CycloneDX library's strict validator,
// packageurl-js, spdx-expression-parse, and the rules of SPDX 2.3 through ajv.
//
// Usage: node documents.mjs RESULT-DIRECTORY KEY-DIRECTORY ; $KILN_JUDGES has node_modules (see attestations). Prints
// "ok NAME" or "not ok NAME: why" a check; exits with 1 when one is not ok.
import {createHash, createPublicKey} from "node:crypto";
import fs from "node:fs";
import {createRequire} from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.KILN_JUDGES, "package.json"));
const [directory, keys] = process.argv.slice(2);
let failed = 0;

async function check(name, judge) {
    try {
        await judge();
        console.log(`ok ${name}`);
    } catch (e) {
        failed++;
        console.log(`not ok ${name}: ${String(e.message).split("\n")[0].slice(0, 500)}`);
    }
}

function must(condition, why) {
    if (!condition)
        throw new Error(why);
}

function one(suffix) {
    const found = fs.readdirSync(directory).filter((f) => f.endsWith(suffix));
    must(found.length === 1, `${found.length} files *${suffix}`);
    return fs.readFileSync(path.join(directory, found[0]), "utf8");
}

const fileSha256 = (f) => createHash("sha256").update(fs.readFileSync(path.join(directory, f))).digest("hex");
const packages = fs.readdirSync(directory).filter((f) => f.endsWith(".rpm"));

// ---- envelopes ------------------------------------------------------------------------------------------------------

async function envelopes() {
    const {bundleFromJSON} = require("@sigstore/bundle");
    const {Verifier, toSignedEntity, toTrustMaterial} = require("@sigstore/verify");
    const key = createPublicKey(fs.readFileSync(path.join(keys, "attest.pub")));
    const roots = {certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: []};
    const trust = toTrustMaterial(roots, () => ({publicKey: key, validFor: () => true}));
    const verifier = new Verifier(trust, {ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 0});
    const bundle = (envelope) => bundleFromJSON({
        mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
        verificationMaterial: {publicKey: {hint: envelope.signatures[0].keyid}},
        dsseEnvelope: envelope,
    });
    const lines = one(".intoto.jsonl").trim().split("\n").map((l) => JSON.parse(l));
    must(lines.length >= 3, `only ${lines.length} envelopes`);
    const types = [];
    for (const envelope of lines) {
        verifier.verify(toSignedEntity(bundle(envelope)));
        const tampered = structuredClone(envelope);
        const body = Buffer.from(tampered.payload, "base64");
        body[body.length - 2] ^= 1;
        tampered.payload = body.toString("base64");
        let refused = false;
        try {
            verifier.verify(toSignedEntity(bundle(tampered)));
        } catch {
            refused = true;
        }
        must(refused, "a tampered payload verifies");

        const statement = JSON.parse(Buffer.from(envelope.payload, "base64"));
        must(statement._type === "https://in-toto.io/Statement/v1", "no in-toto statement");
        must(statement.subject.length === packages.length, "not all packages are subjects");
        for (const s of statement.subject)
            must(packages.includes(s.name) && (!s.digest.sha256 || s.digest.sha256 === fileSha256(s.name)),
                `subject ${s.name} is not the file`);
        types.push(statement.predicateType);
        if (statement.predicateType === "https://slsa.dev/provenance/v1")
            provenance(statement.predicate);
    }
    for (const wanted of ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document", "https://cyclonedx.org/bom"])
        must(types.includes(wanted), `no ${wanted}`);
}

// slsa.dev/spec/v1.0/provenance: what it requires, and our promise that every dependency has a digest.
function provenance(p) {
    const d = p.buildDefinition, r = p.runDetails;
    must(/^[a-z][a-z0-9+.-]*:/.test(d.buildType) && typeof d.externalParameters === "object", "no buildType");
    must(/^[a-z][a-z0-9+.-]*:/.test(r.builder.id), "builder.id is no URI");
    must(d.resolvedDependencies.length > 0, "no dependencies");
    for (const dep of d.resolvedDependencies)
        must(/^[0-9a-f]{64}$/.test(dep.digest?.sha256 ?? ""), `${dep.name} has no digest`);
    must(!JSON.stringify(d).includes("file:/"), "buildDefinition names a path of this host");
    for (const t of [r.metadata.startedOn, r.metadata.finishedOn])
        must(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(t), `${t} is no time`);
}

// ---- CycloneDX ------------------------------------------------------------------------------------------------------

async function cyclonedx() {
    const {Spec, Validation} = require("@cyclonedx/cyclonedx-library");
    const text = one(".cdx.json"), bom = JSON.parse(text);
    const errors = await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text);
    must(errors === null, JSON.stringify(errors));
    const refs = new Set();
    const walk = (c) => {
        must(!c["bom-ref"] || !refs.has(c["bom-ref"]), `${c["bom-ref"]} twice`);
        refs.add(c["bom-ref"]);
        (c.components ?? []).forEach(walk);
    };
    walk(bom.metadata.component);
    bom.components.forEach(walk);
    bom.formulation.forEach((f) => f.components.forEach(walk));
    for (const d of bom.dependencies)
        for (const ref of [d.ref, ...(d.dependsOn ?? [])])
            must(refs.has(ref), `${ref} is nothing`);
}

// ---- SPDX 2.3 -------------------------------------------------------------------------------------------------------

// The document's shape, from the specification's text (sections 6 to 11).
const id = {type: "string", pattern: "^SPDXRef-[A-Za-z0-9.-]+$"};
const text = {type: "string", minLength: 1};
const checksum = {
    type: "object", additionalProperties: false, required: ["algorithm", "checksumValue"],
    properties: {algorithm: {enum: ["SHA1", "SHA256"]}, checksumValue: {type: "string", pattern: "^([0-9a-f]{40}|[0-9a-f]{64})$"}},
};
const shape = {
    type: "object", additionalProperties: false,
    required: ["spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo", "packages"],
    properties: {
        spdxVersion: {const: "SPDX-2.3"}, dataLicense: {const: "CC0-1.0"}, SPDXID: {const: "SPDXRef-DOCUMENT"}, name: text,
        documentNamespace: {type: "string", pattern: "^[a-z][a-z0-9+.-]*:[^#]+$"},
        creationInfo: {
            type: "object", additionalProperties: false, required: ["created", "creators"],
            properties: {
                created: {type: "string", pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$"},
                creators: {type: "array", minItems: 1, items: {type: "string", pattern: "^(Tool|Organization|Person): ."}},
            },
        },
        packages: {type: "array", minItems: 1, items: {
            type: "object", additionalProperties: false,
            required: ["SPDXID", "name", "downloadLocation", "licenseDeclared", "licenseConcluded", "copyrightText"],
            properties: {
                SPDXID: id, name: text, versionInfo: text, packageFileName: text, summary: text, comment: text,
                homepage: {type: "string", pattern: "^https?://"}, filesAnalyzed: {type: "boolean"},
                downloadLocation: {type: "string", pattern: "^(NOASSERTION|NONE|https?://\\S+)$"},
                supplier: {type: "string", pattern: "^(NOASSERTION|(Organization|Person): .+)$"},
                primaryPackagePurpose: {enum: ["SOURCE", "INSTALL"]}, copyrightText: text,
                licenseDeclared: text, licenseConcluded: text, licenseInfoFromFiles: {type: "array", items: text},
                checksums: {type: "array", minItems: 1, items: checksum},
                packageVerificationCode: {
                    type: "object", additionalProperties: false, required: ["packageVerificationCodeValue"],
                    properties: {packageVerificationCodeValue: {type: "string", pattern: "^[0-9a-f]{40}$"}},
                },
                externalRefs: {type: "array", items: {
                    type: "object", additionalProperties: false,
                    required: ["referenceCategory", "referenceType", "referenceLocator"],
                    properties: {referenceCategory: {const: "PACKAGE-MANAGER"}, referenceType: {const: "purl"},
                        referenceLocator: {type: "string", pattern: "^pkg:rpm/"}},
                }},
            },
            // Section 7.9: the code is there exactly when files were analysed.
            if: {properties: {filesAnalyzed: {const: true}}, required: ["filesAnalyzed"]},
            then: {required: ["packageVerificationCode"]}, else: {not: {required: ["packageVerificationCode"]}},
        }},
        files: {type: "array", items: {
            type: "object", additionalProperties: false, required: ["SPDXID", "fileName", "checksums", "copyrightText"],
            properties: {
                SPDXID: id, fileName: {type: "string", pattern: "^\\./."}, copyrightText: text, licenseConcluded: text,
                licenseInfoInFiles: {type: "array", items: text},
                checksums: {type: "array", items: checksum, contains: {type: "object", properties: {algorithm: {const: "SHA1"}}}},
            },
        }},
        relationships: {type: "array", items: {
            type: "object", additionalProperties: false, required: ["spdxElementId", "relationshipType", "relatedSpdxElement"],
            properties: {spdxElementId: id, relatedSpdxElement: id,
                relationshipType: {enum: ["DESCRIBES", "CONTAINS", "PATCH_FOR", "GENERATED_FROM", "BUILD_DEPENDENCY_OF"]}},
        }},
        hasExtractedLicensingInfos: {type: "array", minItems: 1, items: {
            type: "object", additionalProperties: false, required: ["licenseId", "extractedText"],
            properties: {licenseId: {type: "string", pattern: "^LicenseRef-[A-Za-z0-9.-]+$"}, extractedText: text, name: text},
        }},
    },
};

function spdxShape() {
    const ajv = new (require("ajv").default)({allErrors: true});
    const validate = ajv.compile(shape);
    must(validate(JSON.parse(one(".spdx.json"))), ajv.errorsText(validate.errors));
}

function spdxGraph() {
    const d = JSON.parse(one(".spdx.json"));
    const elements = ["SPDXRef-DOCUMENT", ...d.packages.map((p) => p.SPDXID), ...d.files.map((f) => f.SPDXID)];
    const known = new Set(elements);
    must(known.size === elements.length, "an SPDXID is used twice");
    for (const r of d.relationships)
        must(known.has(r.spdxElementId) && known.has(r.relatedSpdxElement), `${JSON.stringify(r)} names nothing`);
    const of = (type) => d.relationships.filter((r) => r.relationshipType === type);
    must(of("DESCRIBES").length === 1, "not exactly one DESCRIBES");
    must(of("GENERATED_FROM").length === packages.length - 1, "not every package is GENERATED_FROM the SRPM");
    must(of("CONTAINS").length === d.files.length, "a file is in no package");
    const sha1 = new Map(d.files.map((f) => [f.SPDXID, f.checksums.find((c) => c.algorithm === "SHA1").checksumValue]));
    for (const p of d.packages.filter((q) => q.filesAnalyzed)) {
        const sums = of("CONTAINS").filter((r) => r.spdxElementId === p.SPDXID).map((r) => sha1.get(r.relatedSpdxElement));
        const code = createHash("sha1").update(sums.sort().join("")).digest("hex");
        must(p.packageVerificationCode.packageVerificationCodeValue === code, `${p.name}: verification code`);
    }
}

function licenses() {
    const parse = require("spdx-expression-parse");
    const d = JSON.parse(one(".spdx.json"));
    const extracted = new Set((d.hasExtractedLicensingInfos ?? []).map((l) => l.licenseId));
    const walk = (e) => {
        must(!e.license?.startsWith("LicenseRef-") || extracted.has(e.license), `${e.license} has no text`);
        [e.left, e.right].filter(Boolean).forEach(walk);
    };
    for (const p of d.packages.filter((q) => q.licenseDeclared !== "NOASSERTION"))
        walk(parse(p.licenseDeclared));
}

function purls() {
    const {PackageURL} = require("packageurl-js");
    const d = JSON.parse(one(".spdx.json")), c = JSON.parse(one(".cdx.json"));
    const all = [...d.packages.map((p) => p.externalRefs[0].referenceLocator), c.metadata.component.purl,
        ...c.components.map((p) => p.purl), ...c.formulation.flatMap((f) => f.components.map((p) => p.purl))];
    for (const purl of all) {
        // packageurl-js leaves "+" in a version as it is; the specification wants it as %2B.
        const canonical = PackageURL.fromString(purl).toString().replaceAll("+", "%2B");
        must(canonical === purl, `${purl} is not canonical: ${canonical}`);
        must(PackageURL.fromString(purl).qualifiers?.arch, `${purl} has no arch`);
    }
    must(new Set(all).size * 2 === all.length, "SPDX and CycloneDX do not tell of the same packages");
}

await check("envelopes (@sigstore/verify)", envelopes);
await check("CycloneDX 1.6 (strict validator)", cyclonedx);
await check("SPDX 2.3 shape (ajv)", spdxShape);
await check("SPDX 2.3 graph and verification codes", spdxGraph);
await check("licenses (spdx-expression-parse)", licenses);
await check("package URLs (packageurl-js)", purls);
process.exit(failed ? 1 : 0);
